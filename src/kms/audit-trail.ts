import type { MatchedStatement } from '../policy/compiled-policy.ts'

/** Which policy decided, and how. */
export interface Decision {
  readonly allowed: boolean
  readonly by: 'key-policy' | 'identity-policy' | 'root' | 'nobody'
  readonly statement?: MatchedStatement
}

/** What an operation leaves behind for the audit step: filled while it runs, complete also when it throws. */
export interface AuditTrail {
  /** ARNs of the keys touched, in order. */
  readonly resources: string[]
  decision: Decision | undefined
  /** Request parameters fit for a log: no plaintext, no ciphertext, no secret. camelCase as CloudTrail shows them. */
  parameters: Readonly<Record<string, unknown>>
  /** Response elements fit for a log; only state changes have them. */
  response: Readonly<Record<string, unknown>> | undefined
  /** Set by operations that only read. */
  readOnly: boolean
  /** Set when the audit record was already written in the storage transaction (state changes, ARCH-D14). */
  eventId: string | undefined
}
