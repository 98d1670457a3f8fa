import { type Action, strangerDenied } from './authorize.ts'
import type { Key } from './key.ts'
import { keyNotFound, parseKeyId } from './key-id.ts'
import type { KmsContext } from './kms-context.ts'
import type { RequestOf } from './operation.ts'

/**
 * The key that a request names, in the caller's region. Throws NotFoundException as AWS words it (kms-facts 8 to 11), or for a
 * key of another account the denial that existing keys of strangers get too.
 */
export function getNamedKey(
  { storage }: KmsContext,
  { caller, trail }: RequestOf<unknown>,
  keyId: string,
  action: Action,
  aliases: 'accepted' | 'refused' = 'accepted',
): Key {
  const named = parseKeyId(keyId, caller, aliases)
  trail.resources.push(named.arn)
  const key = storage.snapshot.findKey(named.arn)
  if (key) return key
  throw named.accountId === caller.accountId
    ? keyNotFound(named.arn)
    : strangerDenied(caller, action)
}
