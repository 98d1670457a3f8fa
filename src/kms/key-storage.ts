import type { MaterialOrigin, MaterialPlan } from '../crypto/key-custody.ts'
import type { Alias } from './alias.ts'
import type { AuditLine } from './audit-trail.ts'
import type { Key, KeyMaterial, LastUse, Tombstone } from './key.ts'
import type { TokenWriteLock } from './token-write-lock.ts'

/** Written before anything is made in the token, dropped when the key is committed (ARCH-D11). */
export interface MakeIntent {
  readonly kind: 'make'
  readonly intentId: string
  readonly keyArn: string
  readonly purpose: 'create' | 'rotate'
  readonly plan: MaterialPlan
  readonly origin: MaterialOrigin
  readonly createdAt: number
}

/** Written before anything is destroyed in the token; carried out again at start until it is committed (FM-F25). */
export interface DestroyIntent {
  readonly kind: 'destroy'
  readonly intentId: string
  readonly keyArn: string
  readonly plans: readonly MaterialPlan[]
  readonly lineage: number
  readonly createdAt: number
}

export type Intent = MakeIntent | DestroyIntent

/** What the rules read. Answers come from memory; a record that was handed out never changes. */
export interface KeySnapshot {
  /** Grows with every committed change. */
  readonly version: number
  /** The number of the latest token write that this storage began (ARCH-D11). */
  readonly lineage: number
  /** Trusted time in epoch milliseconds, see heartbeat.ts; 0 before the first beat. */
  readonly heartbeat: number
  /** Uses of keys that are older than this storage's record of them began at that time, in epoch milliseconds; else 0. */
  readonly usesRecordedSince: number
  /** 32 random bytes of this instance that authenticate paging markers. */
  readonly markerSecret: Buffer
  findKey(arn: string): Key | undefined
  findMaterial(region: string, materialId: string): KeyMaterial | undefined
  /** Oldest first. */
  materialsOf(keyArn: string): readonly KeyMaterial[]
  /** Keys of one account in one region, sorted by key id. */
  keysIn(accountId: string, region: string): readonly Key[]
  /** How many there are, at no cost. */
  countKeysIn(accountId: string, region: string): number
  findAlias(arn: string): Alias | undefined
  /** The aliases of a key, sorted by name. */
  aliasesOf(keyArn: string): readonly Alias[]
  /** Aliases of one account in one region, sorted by name. */
  aliasesIn(accountId: string, region: string): readonly Alias[]
  allKeys(): Iterable<Key>
  findExternalKey(storeName: string, externalKeyId: string): Key | undefined
  allMaterials(): Iterable<KeyMaterial>
  intents(): readonly Intent[]
  findTombstone(arn: string): Tombstone | undefined
  findLastUse(keyArn: string): LastUse | undefined
}

/** One change in the making: reads see the latest committed state and what this change already wrote. */
export interface KeyDraft {
  findKey(arn: string): Key | undefined
  findMaterial(region: string, materialId: string): KeyMaterial | undefined
  materialsOf(keyArn: string): readonly KeyMaterial[]
  findTombstone(arn: string): Tombstone | undefined
  findLastUse(keyArn: string): LastUse | undefined
  findAlias(arn: string): Alias | undefined
  aliasesOf(keyArn: string): readonly Alias[]
  findExternalKey(storeName: string, externalKeyId: string): Key | undefined

  /** Adds a key, or replaces the one that `key` was copied from; its rowVersion is counted on by storage. */
  putKey(key: Key): Key
  putMaterial(material: KeyMaterial): void
  /** Replaces what is known of the last use of a key that exists. */
  putLastUse(keyArn: string, use: LastUse): void
  /** Adds an alias of an existing key, or replaces it. */
  putAlias(alias: Alias): void
  removeAlias(arn: string): void
  /** Removes the key, its materials and its aliases and leaves a tombstone. */
  buryKey(tombstone: Tombstone): void
  putIntent(intent: Intent): void
  dropIntent(intentId: string): void
  /** Counts the lineage on and returns it: one number for each token write. */
  nextLineage(): number
  setHeartbeat(heartbeat: number): void
  addAuditLine(line: AuditLine): void
}

export interface ChangeOptions {
  /** Bookkeeping that goes on while storage is read-only: counters, heartbeat, audit. */
  readonly evenReadOnly?: boolean
  /** Commits only if this right still stands; asked in the transaction itself. Throws TokenWriteLockLost (FM-F32). */
  readonly lock?: TokenWriteLock
}

/** What the KMS rules ask of storage. */
export interface KeyStorage {
  readonly snapshot: KeySnapshot
  /** Why nothing may be changed, in words for the caller and the log; undefined when everything may (FM-F30). */
  readonly readOnlyReason: string | undefined
  /**
   * Runs `work` once, against the latest state, and commits what it wrote in one durable transaction. Changes happen one after
   * the other. `work` is synchronous: what it throws undoes its own writes and rejects the promise. Resolves after the commit,
   * when `snapshot` shows it. Throws KMSInvalidStateException while storage is read-only.
   */
  change<T>(work: (draft: KeyDraft) => T, options?: ChangeOptions): Promise<T>
  /**
   * Runs `work` while no other process that shares this storage writes to the token, with a snapshot that shows what they did
   * before. Within one process work of several callers may run at the same time. Not to be nested. Throws
   * DependencyTimeoutException when the right cannot be had in time.
   */
  withTokenWriteLock<T>(work: (lock: TokenWriteLock) => Promise<T>): Promise<T>
}
