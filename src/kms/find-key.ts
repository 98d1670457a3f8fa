import type { Alias } from './alias.ts'
import { type Action, strangerDenied } from './authorize.ts'
import type { Caller } from './caller.ts'
import type { Key } from './key.ts'
import { aliasNotFound, type KeyName, keyNotFound, parseKeyId, requestedAlias } from './key-id.ts'
import type { KeySnapshot } from './key-storage.ts'
import type { KmsContext } from './kms-context.ts'
import { KmsError } from './kms-error.ts'
import type { RequestOf } from './operation.ts'

/** A name out of a request, and the key that it stands for at this moment. */
export interface Sought {
  readonly name: KeyName
  readonly key: Key | undefined
}

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
  const { name, key } = seekKey(storage.snapshot, caller, keyId, aliases)
  trail.resources.push(key?.arn ?? name.arn)
  if (key) return key
  throw name.accountId === caller.accountId ? notFound(name) : strangerDenied(caller, action)
}

/** The same for operations that AWS allows in one's own account only, by key id or key ARN, whatever the key policy says. */
export function getOwnKey(
  context: KmsContext,
  request: RequestOf<unknown>,
  keyId: string,
  action: Action,
): Key {
  const key = getNamedKey(context, request, keyId, action, 'refused')
  if (key.accountId !== request.caller.accountId) throw strangerDenied(request.caller, action)
  return key
}

/** Reads the name and looks behind it. An alias is resolved here and once: what follows holds the key (AT-Z09). */
export function seekKey(
  snapshot: Pick<KeySnapshot, 'findKey' | 'findAlias'>,
  caller: Pick<Caller, 'accountId' | 'region'>,
  keyId: string,
  aliases: 'accepted' | 'refused' = 'accepted',
): Sought {
  const name = parseKeyId(keyId, caller, aliases)
  const keyArn = name.kind === 'key' ? name.arn : snapshot.findAlias(name.arn)?.targetKeyArn
  return { name, key: keyArn === undefined ? undefined : snapshot.findKey(keyArn) }
}

/** What one's own account hears of a name that stands for nothing. */
export function notFound({ kind, arn }: KeyName): KmsError {
  return kind === 'key' ? keyNotFound(arn) : aliasNotFound(arn)
}

/** The key that an alias is to stand for: a key of one's own account, by its id or ARN (KMS-61). */
export function getAliasTarget(
  context: KmsContext,
  request: RequestOf<unknown>,
  keyId: string,
  action: Action,
): Key {
  if (requestedAlias(keyId) !== undefined)
    throw new KmsError('ValidationException', 'Aliases must refer to keys. Not aliases')
  return getOwnKey(context, request, keyId, action)
}

/** Throws NotFoundException (KMS-11). */
export function getAlias(storage: Pick<KeySnapshot, 'findAlias'>, aliasArn: string): Alias {
  const alias = storage.findAlias(aliasArn)
  if (!alias) throw aliasNotFound(aliasArn)
  return alias
}

/** The key that an alias stands for. Throws NotFoundException (KMS-11). */
export function getAliasedKey(
  storage: Pick<KeySnapshot, 'findAlias' | 'findKey'>,
  aliasArn: string,
): Key {
  const { targetKeyArn } = getAlias(storage, aliasArn)
  const key = storage.findKey(targetKeyArn)
  if (!key) throw new TypeError(`storage keeps ${aliasArn} without its key`)
  return key
}
