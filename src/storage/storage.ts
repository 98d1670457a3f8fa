import type { AuditOutbox } from '../audit/audit-outbox.ts'
import type { Key } from '../kms/key.ts'
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

/** An external key store as it lies in storage. */
export interface XksStoreRecord {
  readonly name: string
  readonly uriPathPrefix: string
  readonly regions: readonly string[]
  readonly requestsPerSecond: number | undefined
  readonly enabled: boolean
  /** Secondary authorization, the document as it was put. */
  readonly policy: string | undefined
  /** Epoch milliseconds. */
  readonly createdAt: number
}

/** One of the credentials of an external key store, its secret sealed as a principal's is. */
export interface XksCredentialRecord {
  readonly accessKeyId: string
  readonly storeName: string
  readonly sealedSecret: string
  /** Epoch milliseconds. */
  readonly createdAt: number
}

export interface StorageSnapshot extends KeySnapshot {
  /** Names this storage to the token's owner record (FM-F33). */
  readonly instanceId: string
  findPrincipal(accessKeyId: string): PrincipalRecord | undefined
  allPrincipals(): Iterable<PrincipalRecord>
  findXksStore(name: string): XksStoreRecord | undefined
  findXksStoreAt(uriPathPrefix: string): XksStoreRecord | undefined
  allXksStores(): Iterable<XksStoreRecord>
  findXksCredential(accessKeyId: string): XksCredentialRecord | undefined
  allXksCredentials(): Iterable<XksCredentialRecord>
  /** The external keys of a store, whether there is one of that name or not. */
  externalKeysOf(storeName: string): Iterable<Key>
  hasExternalKeys(storeName: string): boolean
  /** What `token init` made in the token of that serial: JSON that only `token/` understands. */
  findAnchors(tokenSerial: string): unknown
  /** A refused login that daemons on this storage tell each other: JSON that only `token/` understands. */
  findLoginLatch(tokenSerial: string): unknown
}

export interface StorageDraft extends KeyDraft {
  findPrincipal(accessKeyId: string): PrincipalRecord | undefined
  putPrincipal(principal: PrincipalRecord): void
  removePrincipal(accessKeyId: string): void
  findXksStore(name: string): XksStoreRecord | undefined
  findXksStoreAt(uriPathPrefix: string): XksStoreRecord | undefined
  findXksCredential(accessKeyId: string): XksCredentialRecord | undefined
  hasExternalKeys(storeName: string): boolean
  /** Adds a store, or replaces the one of that name. Throws StorageError when the prefix is another store's. */
  putXksStore(store: XksStoreRecord): void
  /** With its credentials. */
  removeXksStore(name: string): void
  /** Adds a credential of a store that exists. */
  putXksCredential(credential: XksCredentialRecord): void
  removeXksCredential(accessKeyId: string): void
  putAnchors(tokenSerial: string, anchors: unknown): void
  /** undefined opens it. */
  putLoginLatch(tokenSerial: string, latch: unknown): void
  /** For a rebuild: takes the identity and the lineage that the token's records name. */
  adoptInstance(instanceId: string, lineage: number): void
}

export interface Storage extends KeyStorage {
  readonly snapshot: StorageSnapshot
  readonly outbox: AuditOutbox
  /** Several daemons may work on it at once: what this process did not do, another one may be doing. */
  readonly isShared: boolean
  /** False while the database does not answer: reads go on from the snapshot, changes are refused (FM-F47). */
  readonly isConnected: boolean
  change<T>(work: (draft: StorageDraft) => T, options?: ChangeOptions): Promise<T>
  /** Resolves when the snapshot shows everything that was committed before, by whomever. */
  refresh(): Promise<void>
  /** Runs `work` while no other daemon on this storage is in such a work: one login at a time in a fleet (ARCH-D4). */
  withLoginLock<T>(work: () => Promise<T>): Promise<T>
  /** Refuses every change but bookkeeping until it is called with undefined (FM-F30). */
  setReadOnly(reason: string | undefined): void
  /** A consistent copy of the whole database, mode 0600, while everything goes on. Refuses to overwrite. */
  backup(toPath: string): Promise<void>
  /** Problems that the database engine finds in its own file; empty when it is sound. */
  checkIntegrity(): Promise<readonly string[]>
  /** The engine, where it is, and how far this process is behind it, in words for an operator. */
  describe(): Promise<string>
  /** Waits for changes under way, then closes. */
  close(): Promise<void>
}
