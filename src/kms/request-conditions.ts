import type { Caller, RequestFacts } from './caller.ts'
import type { EncryptionContext } from './encryption-context.ts'
import type { Key, Tag } from './key.ts'

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

export function addResourceTags(conditions: Conditions, tags: readonly Tag[]): void {
  for (const { tagKey, tagValue } of tags)
    conditions.set(`aws:resourcetag/${tagKey.toLowerCase()}`, [tagValue])
}

export function addRequestTags(conditions: Conditions, tags: readonly Tag[]): void {
  if (tags.length === 0) return
  conditions.set('aws:tagkeys', [...new Set(tags.map((tag) => tag.tagKey))])
  for (const { tagKey, tagValue } of tags)
    conditions.set(`aws:requesttag/${tagKey.toLowerCase()}`, [tagValue])
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
  for (const [key, value] of pairs) {
    const name = `kms:encryptioncontext:${key.toLowerCase()}`
    conditions.set(name, [...(conditions.get(name) ?? []), value])
  }
}
