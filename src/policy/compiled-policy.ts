/**
 * Which kind of document: a key policy names principals, an identity policy belongs to one. An xks policy names principals too,
 * of whom only AWS KMS tells, and what they do through an external key store (XKS 1.10).
 */
export type PolicyKind = 'key' | 'identity' | 'xks'

/** What a policy is asked about. */
export interface PolicyQuestion {
  readonly principal: { readonly arn: string; readonly accountId: string }
  /** `kms:Decrypt`, as AWS spells it; matching ignores case. */
  readonly action: string
  /** ARN of the key, or `*` for actions that have no resource. Of an external key `<store>/<externalKeyId>`. */
  readonly resource: string
  /** Values of condition keys, by lower-cased key name; absent when the request has none. */
  readonly context: ReadonlyMap<string, readonly string[]>
}

/** The statement that decided, for the log and the audit record. */
export interface MatchedStatement {
  readonly index: number
  readonly sid?: string
  readonly effect: 'Allow' | 'Deny'
  /** How the principal was matched: itself, its account (delegation to identity policies), or everybody. */
  readonly matchedBy: 'principal' | 'account' | 'anyone'
}

export interface CompiledPolicy {
  readonly kind: PolicyKind
  /** The first matching deny, else every matching allow. Conditions are part of matching. */
  decide(question: PolicyQuestion): {
    readonly deny?: MatchedStatement
    readonly allows: readonly MatchedStatement[]
  }
}
