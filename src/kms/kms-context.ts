import type { KeyCustody } from '../crypto/key-custody.ts'
import type { AuditScribe } from './audit-trail.ts'
import type { Clock } from './clock.ts'
import type { CriticalSections } from './critical-section.ts'
import type { EncryptionBudget } from './encryption-budget.ts'
import type { KeyStorage } from './key-storage.ts'
import type { LastUses } from './last-uses.ts'
import type { RequestQuotas } from './request-quotas.ts'
import type { KeyPolicies } from './key-policies.ts'
import type { ResourceQuotas } from './resource-quotas.ts'

/** Something that an operator should hear of; the daemon logs and counts it. */
export interface KmsNotice {
  readonly level: 'info' | 'warn' | 'error'
  readonly message: string
  readonly keyArn?: string
  readonly cause?: unknown
}

/** What every operation works with. */
export interface KmsContext {
  readonly storage: KeyStorage
  readonly custody: KeyCustody
  readonly clock: Clock
  readonly budget: EncryptionBudget
  readonly lastUses: LastUses
  readonly requestQuotas: RequestQuotas | undefined
  readonly policies: KeyPolicies
  readonly sections: CriticalSections
  readonly resourceQuotas: ResourceQuotas
  readonly scribe: AuditScribe | undefined
  notify(notice: KmsNotice): void
}
