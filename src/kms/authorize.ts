import type { CompiledPolicy, MatchedStatement, PolicyQuestion } from '../policy/compiled-policy.ts'
import type { Decision } from './audit-trail.ts'
import type { Caller } from './caller.ts'
import type { Key } from './key.ts'
import type { KmsContext } from './kms-context.ts'
import { KmsError } from './kms-error.ts'
import type { RequestOf } from './operation.ts'
import type { OperationName } from './operation-names.ts'
import {
  addKeyConditions,
  addRequestAlias,
  addResourceAliases,
  addResourceTags,
  type Conditions,
  requestConditions,
} from './request-conditions.ts'

/** ReEncrypt is two actions, one for each of its keys. */
export type Action = `kms:${OperationName | 'ReEncryptFrom' | 'ReEncryptTo'}`

/** Why a request is denied: each reason has AWS's own words (KMS-59). */
const DENIALS = {
  KEY_POLICY_DENIES: (what) => `${what} with an explicit deny in a resource-based policy`,
  IDENTITY_DENIES: (what) => `${what} with an explicit deny in an identity-based policy`,
  NO_KEY_POLICY: (what, action) =>
    `${what} because no resource-based policy allows the ${action} action`,
  NO_IDENTITY_POLICY: (what, action) =>
    `${what} because no identity-based policy allows the ${action} action`,
} as const satisfies Record<string, (what: string, action: string) => string>

type Denial = keyof typeof DENIALS

interface Verdict extends Decision {
  readonly denial?: Denial
}

/**
 * Decides whether the caller may do `action` with the key, writes the decision into the audit trail, and throws
 * AccessDeniedException when not. `add` completes the condition keys of the operation.
 */
export function authorize(
  context: KmsContext,
  request: RequestOf<unknown>,
  action: Action,
  key: Key,
  add?: (conditions: Conditions) => void,
): void {
  const { caller, facts, trail } = request
  const conditions = requestConditions(caller, facts)
  addKeyConditions(conditions, key)
  addResourceTags(conditions, key.tags)
  addResourceAliases(conditions, context.storage.snapshot.aliasesOf(key.arn))
  addRequestAlias(conditions, (request.input as { readonly keyId?: string }).keyId)
  add?.(conditions)
  const question = { principal: caller, action, resource: key.arn, context: conditions }
  const verdict = decideOnKey(caller, key, context.policies.of(key), question)
  trail.decision = decisionOf(verdict)
  if (verdict.allowed) return
  if (key.accountId !== caller.accountId && verdict.by !== 'identity-policy')
    throw strangerDenied(caller, action)
  throw denied(caller, action, key.arn, verdict)
}

/**
 * The same for what has no policy of its own, as an alias, or does not exist yet: identity policies alone decide, and an
 * account's root may do everything.
 */
export function authorizeInAccount(
  request: RequestOf<unknown>,
  action: Action,
  add?: (conditions: Conditions) => void,
  resource = '*',
): void {
  const { caller, facts, trail } = request
  const conditions = requestConditions(caller, facts)
  add?.(conditions)
  const question = { principal: caller, action, resource, context: conditions }
  const verdict = decideInAccount(caller, question)
  trail.decision = decisionOf(verdict)
  if (!verdict.allowed) throw denied(caller, action, resource, verdict)
}

/** What a caller learns about a key of another account that does not exist, or does not admit it: the same (AT-Z01, AT-Z02). */
export function strangerDenied(caller: Caller, action: Action): KmsError {
  return new KmsError(
    'AccessDeniedException',
    `User: ${caller.arn} is not authorized to perform: ${action} on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access`,
  )
}

function decideOnKey(
  caller: Caller,
  key: Key,
  policy: CompiledPolicy,
  question: PolicyQuestion,
): Verdict {
  const byKey = policy.decide(question)
  if (byKey.deny) return denial('KEY_POLICY_DENIES', 'key-policy', byKey.deny)
  const abroad = key.accountId !== caller.accountId
  if (abroad && byKey.allows.length === 0) return denial('NO_KEY_POLICY', 'nobody')
  const identity = decideByIdentity(caller, question)
  if (identity.deny) return denial('IDENTITY_DENIES', 'identity-policy', identity.deny)

  const direct = byKey.allows.find((allow) => allow.matchedBy !== 'account')
  if (direct && !abroad) return { allowed: true, by: 'key-policy', statement: direct }
  // Delegation to the caller's account, or a key of another account: the caller's own account must agree too.
  const opening = direct ?? byKey.allows[0]
  if (!opening) return denial('NO_KEY_POLICY', 'nobody')
  if (isRoot(caller)) return { allowed: true, by: 'root', statement: opening }
  const agreement = identity.allows[0]
  if (!agreement) return denial('NO_IDENTITY_POLICY', abroad ? 'identity-policy' : 'nobody')
  return { allowed: true, by: 'identity-policy', statement: agreement }
}

function decideInAccount(caller: Caller, question: PolicyQuestion): Verdict {
  const identity = decideByIdentity(caller, question)
  if (identity.deny) return denial('IDENTITY_DENIES', 'identity-policy', identity.deny)
  if (isRoot(caller)) return { allowed: true, by: 'root' }
  const allow = identity.allows[0]
  if (!allow) return denial('NO_IDENTITY_POLICY', 'nobody')
  return { allowed: true, by: 'identity-policy', statement: allow }
}

function decideByIdentity({ identityPolicies }: Caller, question: PolicyQuestion) {
  const allows: MatchedStatement[] = []
  for (const policy of identityPolicies) {
    const decision = policy.decide(question)
    if (decision.deny) return { deny: decision.deny, allows: [] }
    allows.push(...decision.allows)
  }
  return { deny: undefined, allows }
}

export function isRoot(caller: Pick<Caller, 'arn' | 'accountId'>): boolean {
  return caller.arn === `arn:aws:iam::${caller.accountId}:root`
}

function denial(reason: Denial, by: Decision['by'], statement?: MatchedStatement): Verdict {
  return { allowed: false, denial: reason, by, ...(statement && { statement }) }
}

function decisionOf({ allowed, by, statement }: Verdict): Decision {
  return { allowed, by, ...(statement && { statement }) }
}

function denied(caller: Caller, action: Action, resource: string, verdict: Verdict): KmsError {
  const what = `User: ${caller.arn} is not authorized to perform: ${action} on resource: ${resource}`
  return new KmsError(
    'AccessDeniedException',
    DENIALS[verdict.denial ?? 'NO_IDENTITY_POLICY'](what, action),
  )
}
