import type { MatchedStatement, PolicyQuestion } from '../policy/compiled-policy.ts'
import { splitArn } from '../policy/wildcard.ts'
import type { ExternalKey } from './external-key.ts'
import type { ExternalKeyStore } from './external-key-store.ts'
import type { XksOperation, XksRequest, XksTrail } from './proxy.ts'
import type { RequestMetadata } from './request-metadata.ts'
import { XksError } from './xks-error.ts'

const ACCOUNT_PART = 4
const REGION_PART = 3

/**
 * Throws AccessDeniedException unless the key's pin and the store's policy permit the call. XKS Z-04: GetHealthStatus never
 * comes here. Without a policy every operation is permitted, also one that AWS KMS has yet to invent (XKS Z-07).
 * What decided goes into the trail (XKS Z-03).
 */
export function authorize(
  { store, operation }: XksRequest,
  key: ExternalKey,
  metadata: RequestMetadata,
  trail: XksTrail,
): void {
  assertPin(key, metadata, trail)
  if (store.policy === undefined) trail.decision = 'allowed: no policy'
  else assertPermitted(store, store.policy, questionOf(store, operation, key, metadata), trail)
}

/** XKS Z-05: no other KMS key, of whatever account, may use this external key. GetKeyMetadata does not tell which one asks. */
function assertPin(
  { kmsKeyArn: pin }: ExternalKey,
  { kmsKeyArn }: RequestMetadata,
  trail: XksTrail,
): void {
  if (pin === undefined || kmsKeyArn === undefined || kmsKeyArn === pin) return
  trail.decision = `denied: the external key is pinned to ${pin}`
  throw new XksError('AccessDeniedException', 'The external key is pinned to another KMS key.')
}

function assertPermitted(
  store: ExternalKeyStore,
  policy: NonNullable<ExternalKeyStore['policy']>,
  question: PolicyQuestion,
  trail: XksTrail,
): void {
  const { deny, allows } = decide(policy, question, trail)
  const [allow] = allows
  if (deny === undefined && allow !== undefined) {
    trail.decision = `allowed: ${nameOf(allow)} of the policy of ${store.name}`
    return
  }
  const why = deny === undefined ? 'no statement allows it' : `${nameOf(deny)} denies it`
  trail.decision = `denied: policy of ${store.name}: ${why}`
  throw new XksError(
    'AccessDeniedException',
    `The policy of the external key store does not permit ${question.action} for this request: ${why}.`,
  )
}

/** XKS Z-06: what cannot be evaluated permits nothing. */
function decide(
  policy: NonNullable<ExternalKeyStore['policy']>,
  question: PolicyQuestion,
  trail: XksTrail,
) {
  try {
    return policy.decide(question)
  } catch (cause) {
    trail.decision = 'denied: the policy could not be evaluated'
    throw new XksError(
      'AccessDeniedException',
      'The policy of the external key store could not be evaluated.',
      { cause },
    )
  }
}

function nameOf({ index, sid }: MatchedStatement): string {
  return sid === undefined ? `Statement[${index}]` : `Statement[${index}] (${sid})`
}

function questionOf(
  store: ExternalKeyStore,
  operation: XksOperation,
  { externalKeyId }: ExternalKey,
  metadata: RequestMetadata,
): PolicyQuestion {
  // XKS M-03: it may be `AWS Internal` or the name of a service, which belong to no account.
  const arn = metadata.awsPrincipalArn ?? ''
  return {
    principal: { arn, accountId: splitArn(arn)?.[ACCOUNT_PART] ?? '' },
    action: `xks:${operation}`,
    resource: `${store.name}/${externalKeyId}`,
    context: contextOf(metadata),
  }
}

/** The condition keys of an xks policy, under lower-cased names (XKS Z-01). */
function contextOf(metadata: RequestMetadata): PolicyQuestion['context'] {
  const context = new Map<string, readonly string[]>()
  const add = (name: string, value: string | undefined) => {
    if (value !== undefined) context.set(name, [value])
  }
  const kmsKey = metadata.kmsKeyArn === undefined ? undefined : splitArn(metadata.kmsKeyArn)
  add('xks:kmsoperation', metadata.kmsOperation)
  add('xks:kmskeyarn', metadata.kmsKeyArn)
  add('xks:kmskeyaccount', kmsKey?.[ACCOUNT_PART])
  add('xks:kmskeyregion', kmsKey?.[REGION_PART])
  add('xks:principalarn', metadata.awsPrincipalArn)
  add('xks:viaservice', metadata.kmsViaService)
  add('xks:sourcevpc', metadata.awsSourceVpc)
  add('xks:sourcevpce', metadata.awsSourceVpce)
  return context
}
