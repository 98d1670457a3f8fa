import type { AuditOutbox } from '../audit/audit-outbox.ts'
import type { ChangeOptions, KeyDraft, KeySnapshot, KeyStorage } from '../kms/key-storage.ts'

/** A principal as it lies in storage: its secret sealed by a host key that storage does not know (ARCH-D12). */
export interface PrincipalRecord {
  readonly accessKeyId: string
  readonly accountId: string
  readonly arn: string
  readonly userName: string
  readonly userId: string
  readonly sealedSecret: string
  /** Identity policy documents, as they were put. */
  readonly identityPolicies: readonly string[]
}

export interface StorageSnapshot extends KeySnapshot {
  /** Names this storage to the token's owner record (FM-F33). */
  readonly instanceId: string
  findPrincipal(accessKeyId: string): PrincipalRecord | undefined
  allPrincipals(): Iterable<PrincipalRecord>
  /** What `token init` made in the token of that serial: JSON that only `token/` understands. */
  findAnchors(tokenSerial: string): unknown
}

export interface StorageDraft extends KeyDraft {
  findPrincipal(accessKeyId: string): PrincipalRecord | undefined
  putPrincipal(principal: PrincipalRecord): void
  removePrincipal(accessKeyId: string): void
  putAnchors(tokenSerial: string, anchors: unknown): void
  /** For a rebuild: takes the identity and the lineage that the token's records name. */
  adoptInstance(instanceId: string, lineage: number): void
}

export interface Storage extends KeyStorage {
  readonly snapshot: StorageSnapshot
  readonly outbox: AuditOutbox
  change<T>(work: (draft: StorageDraft) => T, options?: ChangeOptions): Promise<T>
  /** Refuses every change but bookkeeping until it is called with undefined (FM-F30). */
  setReadOnly(reason: string | undefined): void
  /** A consistent copy of the whole database, mode 0600, while everything goes on. Refuses to overwrite. */
  backup(toPath: string): Promise<void>
  /** Problems that the database engine finds in its own file; empty when it is sound. */
  checkIntegrity(): Promise<readonly string[]>
  /** Waits for changes under way, then closes. */
  close(): Promise<void>
}
