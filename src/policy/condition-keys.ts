import type { PolicyKind } from './compiled-policy.ts'

export type ConditionType = 'string' | 'arn' | 'boolean' | 'ip' | 'numeric'

/** What is known of a condition key. */
export interface ConditionKey {
  readonly type: ConditionType
  /** A request may have several values; then AWS KMS demands a set operator. */
  readonly multiValued?: true
  /** AWS KMS refuses ForAllValues here: it would match every request that lacks the key. */
  readonly refusesForAllValues?: true
}

/** Every key that a policy may name, lower-cased. A key that we would never have a value for is not here (ARCH-D13). */
const CONDITION_KEYS = {
  'aws:principalaccount': { type: 'string' },
  'aws:principalarn': { type: 'arn' },
  'aws:principaltype': { type: 'string' },
  'aws:requestedregion': { type: 'string' },
  'aws:securetransport': { type: 'boolean' },
  'aws:sourceip': { type: 'ip' },
  'aws:tagkeys': { type: 'string', multiValued: true },
  'aws:useragent': { type: 'string' },
  'aws:userid': { type: 'string' },
  'aws:username': { type: 'string' },
  'aws:viaawsservice': { type: 'boolean' },
  'kms:bypasspolicylockoutsafetycheck': { type: 'boolean' },
  'kms:calleraccount': { type: 'string' },
  'kms:customermasterkeyspec': { type: 'string' },
  'kms:datakeypairspec': { type: 'string' },
  'kms:encryptionalgorithm': { type: 'string' },
  'kms:encryptioncontextkeys': { type: 'string', multiValued: true },
  'kms:grantisforawsresource': { type: 'boolean' },
  'kms:keyorigin': { type: 'string' },
  'kms:keyspec': { type: 'string' },
  'kms:keyusage': { type: 'string' },
  'kms:multiregion': { type: 'boolean' },
  'kms:reencryptonsamekey': { type: 'boolean' },
  'kms:requestalias': { type: 'string' },
  'kms:resourcealiases': { type: 'string', multiValued: true },
  'kms:rotationperiodindays': { type: 'numeric' },
  'kms:schedulekeydeletionpendingwindowindays': { type: 'numeric' },
  'kms:viaservice': { type: 'string' },
} as const satisfies Record<string, ConditionKey>

/** Every key of an xks policy, and none of the others': AWS KMS hands on no more than this. */
const XKS_CONDITION_KEYS = {
  'xks:kmskeyaccount': { type: 'string' },
  'xks:kmskeyarn': { type: 'arn' },
  'xks:kmskeyregion': { type: 'string' },
  'xks:kmsoperation': { type: 'string' },
  'xks:principalarn': { type: 'arn' }, // or `AWS Internal`, or the name of a service
  'xks:sourcevpc': { type: 'string' },
  'xks:sourcevpce': { type: 'string' },
  'xks:viaservice': { type: 'string' },
} as const satisfies Record<string, ConditionKey>

/** Keys that end in a name of the caller's choice. */
const KEY_FAMILIES = {
  'aws:requesttag/': { type: 'string', refusesForAllValues: true },
  'aws:resourcetag/': { type: 'string' },
  'kms:encryptioncontext:': { type: 'string', refusesForAllValues: true },
} as const satisfies Record<string, ConditionKey>

/**
 * What is known of the key, by its lower-cased name. The name after the colon or slash is part of the key
 * and so its case does not count either; only values may be case-sensitive (AWS KMS, Developer Guide).
 */
export function findConditionKey(lowerName: string, kind: PolicyKind): ConditionKey | undefined {
  if (kind === 'xks')
    return Object.hasOwn(XKS_CONDITION_KEYS, lowerName)
      ? XKS_CONDITION_KEYS[lowerName as keyof typeof XKS_CONDITION_KEYS]
      : undefined
  if (Object.hasOwn(CONDITION_KEYS, lowerName))
    return CONDITION_KEYS[lowerName as keyof typeof CONDITION_KEYS]
  const family = Object.entries(KEY_FAMILIES).find(
    ([prefix]) => lowerName.startsWith(prefix) && lowerName.length > prefix.length,
  )
  return family?.[1]
}
