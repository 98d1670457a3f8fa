import type { MatchedStatement } from '../policy/compiled-policy.ts'
import type { Caller, RequestFacts } from './caller.ts'

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
  /** Of the audit record, once it is composed: for a state change inside its transaction (ARCH-D14), else after the operation. */
  eventId: string | undefined
}

/** One thing to be recorded: a request with its outcome, or an act of our own. */
export interface AuditEntry {
  /** Absent when nobody could be authenticated, and for acts of our own. */
  readonly caller: Caller | undefined
  /** Set for acts of our own (a key destroyed when due, a rotation at the encryption limit): whose key, where. */
  readonly service?: { readonly accountId: string; readonly region: string }
  readonly facts: RequestFacts
  /** The operation, or the event name of an act of our own. */
  readonly operation: string
  readonly trail: AuditTrail
  readonly error?: { readonly code: string; readonly message?: string | undefined }
}

/** A finished audit record. */
export interface AuditLine {
  readonly eventId: string
  /** Epoch milliseconds. */
  readonly at: number
  /** JSON without a line feed. */
  readonly text: string
}

/** Writes audit records in advance, so that a state change and its record are one transaction (ARCH-D14). */
export interface AuditScribe {
  compose(entry: AuditEntry): AuditLine
  /** Appends the committed record of an act of our own, which passes no audit step. */
  deliver(line: AuditLine): Promise<void>
}

export function newTrail(): AuditTrail {
  return {
    resources: [],
    decision: undefined,
    parameters: {},
    response: undefined,
    readOnly: false,
    eventId: undefined,
  }
}
