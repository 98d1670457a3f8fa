import type { AuditLine } from '../kms/audit-trail.ts'

/** Records of state changes that were committed with the change and may not have reached the spool yet. */
export interface AuditOutbox {
  /** Oldest first. */
  pending(): Promise<readonly AuditLine[]>
  remove(eventIds: readonly string[]): Promise<void>
}
