import type { Alias } from './alias.ts'
import type { Caller, RequestFacts } from './caller.ts'
import type { EncryptionContext } from './encryption-context.ts'
import type { Key, Tag } from './key.ts'
import { requestedAlias } from './key-id.ts'

/** Values of condition keys by lower-cased name, as policies are asked with them. */
export type Conditions = Map<string, readonly string[]>

/** What every request says about itself. */
export function requestConditions(caller: Caller, facts: RequestFacts): Conditions {
  return new Map<string, readonly string[]>([
    ['aws:principalarn', [caller.arn]],
    ['aws:principalaccount', [caller.accountId]],
    ['aws:principaltype', [caller.arn.endsWith(':root') ? 'Account' : 'User']],
    ['aws:userid', [caller.userId]],
    ['aws:username', [caller.userName]],
    ['aws:sourceip', [facts.sourceIp]],
    ['aws:securetransport', [String(facts.secureTransport)]],
    ['aws:useragent', [facts.userAgent]],
    ['aws:requestedregion', [caller.region]],
    ['aws:viaawsservice', ['false']],
    ['kms:calleraccount', [caller.accountId]],
  ])
}

/** What an existing key, or one that is to be made, says about itself. */
export function addKeyConditions(
  conditions: Conditions,
  key: Pick<Key, 'keySpec' | 'keyUsage' | 'origin'>,
): void {
  conditions.set('kms:keyspec', [key.keySpec])
  conditions.set('kms:customermasterkeyspec', [key.keySpec])
  conditions.set('kms:keyusage', [key.keyUsage])
  conditions.set('kms:keyorigin', [key.origin])
  conditions.set('kms:multiregion', ['false'])
}

export function addResourceAliases(conditions: Conditions, aliases: readonly Alias[]): void {
  if (aliases.length === 0) return
  conditions.set(
    'kms:resourcealiases',
    aliases.map(({ aliasName }) => aliasName),
  )
}

/** The alias by which the request names the key, if it does, as `alias/…`. */
export function addRequestAlias(conditions: Conditions, keyId: string | undefined): void {
  const requested = keyId === undefined ? undefined : requestedAlias(keyId)
  if (requested !== undefined) conditions.set('kms:requestalias', [requested])
}

export function addResourceTags(conditions: Conditions, tags: readonly Tag[]): void {
  for (const { tagKey, tagValue } of tags)
    addValue(conditions, `aws:resourcetag/${tagKey.toLowerCase()}`, tagValue)
}

export function addRequestTags(conditions: Conditions, tags: readonly Tag[]): void {
  addTagKeys(
    conditions,
    tags.map(({ tagKey }) => tagKey),
  )
  for (const { tagKey, tagValue } of tags)
    addValue(conditions, `aws:requesttag/${tagKey.toLowerCase()}`, tagValue)
}

export function addTagKeys(conditions: Conditions, tagKeys: readonly string[]): void {
  if (tagKeys.length > 0) conditions.set('aws:tagkeys', [...new Set(tagKeys)])
}

/**
 * The encryption context as condition keys. Names of condition keys ignore case, so that two context keys which differ in case
 * only are two values of one condition key (AT-Z10); `kms:EncryptionContextKeys` keeps them apart.
 */
export function addEncryptionContext(
  conditions: Conditions,
  context: EncryptionContext | undefined,
): void {
  const pairs = Object.entries(context ?? {})
  if (pairs.length === 0) return
  conditions.set(
    'kms:encryptioncontextkeys',
    pairs.map(([key]) => key),
  )
  for (const [key, value] of pairs)
    addValue(conditions, `kms:encryptioncontext:${key.toLowerCase()}`, value)
}

/** AT-Z10: tags and context keys that differ in case only are values of one condition key, and each of them counts. */
function addValue(conditions: Conditions, name: string, value: string): void {
  conditions.set(name, [...(conditions.get(name) ?? []), value])
}
