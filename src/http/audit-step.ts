import type { AuditTrail } from '../kms/audit-trail.ts'
import type { Caller, RequestFacts } from '../kms/caller.ts'
import type { OperationName } from '../kms/operation-names.ts'

/** One authenticated request and what became of it. */
export interface AuditEntry {
  readonly caller: Caller
  readonly facts: RequestFacts
  readonly operation: OperationName
  readonly trail: AuditTrail
  readonly error?: { readonly code: string; readonly message: string }
}

/** The step before the answer (ARCH-D14): when it rejects, nothing of the reply leaves. */
export interface AuditStep {
  record(entry: AuditEntry): Promise<void>
}
