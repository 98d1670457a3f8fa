import type { Kysely } from 'kysely'
import type { AuditOutbox } from '../audit/audit-outbox.ts'
import type { ChangeOptions } from '../kms/key-storage.ts'
import { KmsError } from '../kms/kms-error.ts'
import { ALWAYS_HELD, type TokenWriteLock } from '../kms/token-write-lock.ts'
import { storedOutbox } from './audit-outbox.ts'
import { type ChangeBatch, ChangeQueue } from './change-queue.ts'
import type { MemorySnapshot } from './memory-snapshot.ts'
import type { Storage, StorageDraft } from './storage.ts'
import type { Tables } from './tables.ts'
import { writeChanges } from './write-changes.ts'

/** What only the engine can do. */
interface Engine {
  copy(toPath: string): Promise<void>
  integrityProblems(): readonly string[]
  describe(): string
}

/** Storage in one database file, of one process. */
export class SqliteStorage implements Storage {
  readonly snapshot: MemorySnapshot
  readonly outbox: AuditOutbox
  readonly isShared = false
  readonly isConnected = true
  readonly #db: Kysely<Tables>
  readonly #engine: Engine
  readonly #queue = new ChangeQueue((batch) => this.#commit(batch))
  #readOnlyReason: string | undefined

  constructor(db: Kysely<Tables>, snapshot: MemorySnapshot, engine: Engine) {
    this.#db = db
    this.snapshot = snapshot
    this.#engine = engine
    this.outbox = storedOutbox(db, '')
  }

  get readOnlyReason(): string | undefined {
    return this.#readOnlyReason
  }

  setReadOnly(reason: string | undefined): void {
    this.#readOnlyReason = reason
  }

  async change<T>(work: (draft: StorageDraft) => T, options: ChangeOptions = {}): Promise<T> {
    // FM-F30: not an error that a client should try again; an operator has to act.
    if (this.#readOnlyReason !== undefined && options.evenReadOnly !== true)
      throw new KmsError('KMSInvalidStateException', this.#readOnlyReason)
    return await this.#queue.add(work, options)
  }

  async refresh(): Promise<void> {}

  withTokenWriteLock<T>(work: (lock: TokenWriteLock) => Promise<T>): Promise<T> {
    return work(ALWAYS_HELD)
  }

  withLoginLock<T>(work: () => Promise<T>): Promise<T> {
    return work()
  }

  backup(toPath: string): Promise<void> {
    return this.#engine.copy(toPath)
  }

  async checkIntegrity(): Promise<readonly string[]> {
    return this.#engine.integrityProblems()
  }

  async describe(): Promise<string> {
    return this.#engine.describe()
  }

  async close(): Promise<void> {
    await this.#queue.settled()
    await this.#db.destroy()
  }

  async #commit(batch: ChangeBatch): Promise<void> {
    const { version } = this.snapshot
    const changes = batch.run(this.snapshot)
    try {
      if (changes.length > 0) {
        await this.#db.transaction().execute((db) => writeChanges(db, version, changes))
        this.snapshot.commit(version + 1, changes)
      }
      batch.resolve()
    } catch (cause) {
      const words = 'The change could not be stored.'
      batch.reject(new KmsError('KMSInternalException', words, { cause }))
    }
  }
}
