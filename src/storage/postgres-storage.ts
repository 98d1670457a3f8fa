import type { Kysely, Transaction } from 'kysely'
import type { AuditOutbox } from '../audit/audit-outbox.ts'
import type { ChangeOptions } from '../kms/key-storage.ts'
import { KmsError } from '../kms/kms-error.ts'
import { type TokenWriteLock, TokenWriteLockLost } from '../kms/token-write-lock.ts'
import { AdvisoryLock, Lease } from './advisory-lock.ts'
import { storedOutbox } from './audit-outbox.ts'
import type { Change } from './change.ts'
import { ChangeFollower } from './change-follower.ts'
import { decodeChanges, readChangeLog, writeChangeLog } from './change-log.ts'
import { type Admission, type ChangeBatch, ChangeQueue } from './change-queue.ts'
import { loadSnapshot } from './load-snapshot.ts'
import type { MemorySnapshot } from './memory-snapshot.ts'
import { DatabaseAway, type PostgresConnections } from './postgres-connections.ts'
import { describeServer } from './postgres-migration.ts'
import type { Storage, StorageDraft } from './storage.ts'
import { StorageError } from './storage-error.ts'
import type { Tables } from './tables.ts'
import { StorageConflict, writeChanges } from './write-changes.ts'

/** Longer than another daemon's write to the token usually takes, and than a lease. */
const TOKEN_WRITE_PATIENCE_MS = 15_000
/** A login may take as long as its deadline in the vendor's profile. */
const LOGIN_PATIENCE_MS = 45_000

/** Everything that can be counted here and there. */
const LISTS = [
  'allKeys',
  'allMaterials',
  'allPrincipals',
  'allXksStores',
  'allXksCredentials',
] as const

/** What happens in the database without this process's doing. */
export interface PostgresEvents {
  /** The database went away or came back. */
  connected?(isConnected: boolean, reason?: string): void
  /** Another daemon has committed something. */
  changed?(changes: readonly Change[]): void
}

/** How far an attempt to commit has come, and whether its callers still wait. */
interface Progress {
  ran: boolean
  givenUp: boolean
}

export interface PostgresParts {
  readonly connections: PostgresConnections
  readonly snapshot: MemorySnapshot
  /** This daemon among those that share the database, the same after each start. */
  readonly daemon: string
  readonly events: PostgresEvents
}

/**
 * Storage in a PostgreSQL database that several daemons share. A transaction begins with the lock of the one instance row, so
 * versions are counted without a gap; it first takes over what the others committed, runs the waiting changes on that, and
 * leaves what they wrote in the change log, from which the others take it over.
 */
export class PostgresStorage implements Storage {
  readonly outbox: AuditOutbox
  readonly isShared = true
  readonly #connections: PostgresConnections
  readonly #db: Kysely<Tables>
  readonly #daemon: string
  readonly #events: PostgresEvents
  readonly #queue = new ChangeQueue((batch) => this.#commitOrRetry(batch))
  readonly #follower: ChangeFollower
  readonly #tokenWrites: AdvisoryLock
  readonly #logins: AdvisoryLock
  #snapshot: MemorySnapshot
  #isConnected = true
  /** Of this process's last right to write to the token. */
  #lastFence: number | undefined
  /** Whoever waits for the database and is to hear when it goes away. */
  readonly #waiting = new Set<(error: DatabaseAway) => void>()
  #readOnlyReason: string | undefined

  constructor({ connections, snapshot, daemon, events }: PostgresParts) {
    this.#connections = connections
    this.#db = connections.db
    this.#snapshot = snapshot
    this.#daemon = daemon
    this.#events = events
    this.#tokenWrites = new AdvisoryLock(connections, 'token writes', TOKEN_WRITE_PATIENCE_MS)
    this.#logins = new AdvisoryLock(connections, 'logins', LOGIN_PATIENCE_MS)
    this.outbox = storedOutbox(this.#db, daemon)
    this.#follower = new ChangeFollower({
      connections,
      look: () => this.refresh(),
      seen: (outcome) => this.#noteConnection(outcome),
    })
  }

  /** Another object after this process was far behind; it never goes back. */
  get snapshot(): MemorySnapshot {
    return this.#snapshot
  }

  get isConnected(): boolean {
    return this.#isConnected
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
    // FM-F47: at once, not after every connection has been waited for.
    if (!this.#isConnected) throw databaseAway(undefined)
    return await this.#queue.add(work, options)
  }

  async refresh(): Promise<void> {
    await this.#takeOver(this.#db)
  }

  withTokenWriteLock<T>(work: (lock: TokenWriteLock) => Promise<T>): Promise<T> {
    return this.#tokenWrites.with(async (lease) => {
      await this.#enterTokenWrite(lease)
      return await work(lease)
    })
  }

  withLoginLock<T>(work: () => Promise<T>): Promise<T> {
    return this.#logins.with(async () => {
      await this.refresh()
      return await work()
    })
  }

  async backup(toPath: string): Promise<void> {
    throw new StorageError(
      `PostgreSQL keeps this database, so its own tool copies it: pg_dump --format=custom --file=${toPath} '${this.#connections.url}'`,
    )
  }

  /** Compares what this process remembers with the rows as they are. */
  async checkIntegrity(): Promise<readonly string[]> {
    const stored = await loadWhole(this.#db)
    await this.refresh()
    if (stored.version !== this.#snapshot.version) return [] // somebody changed something meanwhile
    const remembered = this.#snapshot
    return LISTS.flatMap((list) => {
      const [here, there] = [[...remembered[list]()].length, [...stored[list]()].length]
      return here === there ? [] : [`${list}: ${here} in memory, ${there} in the database`]
    })
  }

  async describe(): Promise<string> {
    const seen = this.#snapshot.version
    const [row] = await this.#db.selectFrom('instance').select('version').execute()
    const behind = Math.max(0, (row?.version ?? 0) - seen)
    return `${await describeServer(this.#connections)}, ${behind} change(s) not seen yet`
  }

  async close(): Promise<void> {
    await this.#queue.settled()
    await this.#follower.stop()
    await this.#connections.close()
  }

  // ── taking over what others committed ──────────────────────────────────────────────────────────────────────────────

  /** Several may run at once: each version is applied once, by whoever has it first. */
  async #takeOver(db: Kysely<Tables>): Promise<void> {
    const since = this.#snapshot.version
    const rows = await readChangeLog(db, since)
    const { latest = 0, version: first } = rows[0] ?? {}
    if (latest < since)
      throw new StorageConflict(`it is at version ${latest}, after version ${since}`)
    if (latest > since && first !== since + 1) return this.#readAnew()
    for (const { version, changes } of rows) {
      if (version !== this.#snapshot.version + 1 || changes === null) continue
      const decoded = decodeChanges(changes)
      this.#snapshot.commit(version, decoded)
      this.#events.changed?.(decoded)
    }
  }

  async #readAnew(): Promise<void> {
    const snapshot = await loadWhole(this.#db)
    if (snapshot.version > this.#snapshot.version) this.#snapshot = snapshot
  }

  #noteConnection(outcome: 'answered' | Error): void {
    const isConnected = outcome === 'answered'
    if (isConnected === this.#isConnected) return
    this.#isConnected = isConnected
    if (outcome instanceof Error)
      for (const giveUp of this.#waiting) giveUp(new DatabaseAway(outcome))
    this.#events.connected?.(isConnected, outcome instanceof Error ? outcome.message : undefined)
  }

  // ── committing ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Nothing has run when the first connection turns out to be dead, so another one is tried. Whether a commit happened that the
   * database did not answer to, the snapshot will tell.
   */
  async #commitOrRetry(batch: ChangeBatch): Promise<void> {
    for (const isLastAttempt of [false, true]) {
      const progress: Progress = { ran: false, givenUp: false }
      try {
        await this.#unlessAway(this.#commit(batch, progress))
        return batch.resolve()
      } catch (error) {
        progress.givenUp = true
        const mayRetry = !isLastAttempt && !progress.ran && this.#isConnected
        if (mayRetry && error instanceof DatabaseAway) continue
        return batch.reject(error instanceof DatabaseAway ? databaseAway(error) : notStored(error))
      }
    }
  }

  /** As `work`, or DatabaseAway as soon as that is known. */
  #unlessAway<T>(work: Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    this.#waiting.add(reject)
    work.then(resolve, reject).finally(() => this.#waiting.delete(reject))
    return promise
  }

  async #commit(batch: ChangeBatch, progress: Progress): Promise<void> {
    const committed = await this.#db.transaction().execute(async (db) => {
      const { version, token_fence: fence } = await lockInstance(db)
      if (version !== this.#snapshot.version) await this.#takeOver(db)
      if (version !== this.#snapshot.version) throw new StorageConflict('its version')
      if (progress.givenUp) throw new DatabaseAway(undefined)
      progress.ran = true
      const changes = batch.run(this.#snapshot, admission(fence))
      if (changes.length === 0) return undefined
      await writeChanges(db, version, changes, this.#daemon)
      await writeChangeLog(db, version + 1, changes)
      return { version: version + 1, changes }
    })
    if (committed?.version === this.#snapshot.version + 1)
      this.#snapshot.commit(committed.version, committed.changes)
  }

  /** The row lock makes it wait for a commit of the holder before, and the snapshot shows that commit. */
  async #enterTokenWrite(lease: Lease): Promise<void> {
    try {
      const { token_fence: fence } = await this.#db
        .updateTable('instance')
        .set((row) => ({ token_fence: row('token_fence', '+', 1) }))
        .returning('token_fence')
        .executeTakeFirstOrThrow()
      lease.fence = fence
      lease.othersWrote = this.#lastFence !== fence - 1
      this.#lastFence = fence
      await this.refresh()
    } catch (error) {
      throw error instanceof DatabaseAway ? databaseAway(error) : notStored(error)
    }
  }
}

/** The whole database as of one moment. */
export function loadWhole(db: Kysely<Tables>): Promise<MemorySnapshot> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(loadSnapshot)
}

function lockInstance(db: Transaction<Tables>) {
  return db
    .selectFrom('instance')
    .select(['version', 'token_fence'])
    .forUpdate()
    .executeTakeFirstOrThrow()
}

/** What the database cannot keep, or must not, is refused for the one change alone. */
function admission(fence: number): Admission {
  return {
    before: ({ lock }) =>
      lock === undefined || (lock instanceof Lease && lock.fence === fence)
        ? undefined
        : new TokenWriteLockLost(),
    after: (changes) =>
      holdsNul(changes)
        ? new KmsError('ValidationException', 'Text must not contain the character U+0000.')
        : undefined,
  }
}

/** PostgreSQL has no text with U+0000; in JSON it is an escape behind an even number of backslashes. */
function holdsNul(changes: readonly Change[]): boolean {
  return changes.some(
    (change) => change.kind === 'key' && /(?<!\\)(\\\\)*\\u0000/.test(JSON.stringify(change.key)),
  )
}

function databaseAway(cause: unknown): KmsError {
  return new KmsError(
    'DependencyTimeoutException',
    'The database did not answer in time. The request can be retried.',
    { cause },
  )
}

function notStored(cause: unknown): KmsError {
  return new KmsError('KMSInternalException', 'The change could not be stored.', { cause })
}
