import type pg from 'pg'
import { KmsError } from '../kms/kms-error.ts'
import { type TokenWriteLock, TokenWriteLockLost } from '../kms/token-write-lock.ts'
import type { PostgresConnections } from './postgres-connections.ts'

/** A holder that is silent for so long has lost the lock: the server ends its connection, and with it the lock. */
export const LEASE_MS = 5_000
/** By its own clock a holder believes in the lock for less than that. */
const BELIEF_MS = LEASE_MS - 1_000
const CONFIRM_EVERY_MS = LEASE_MS / 4

/**
 * A lock in the database that daemons take in turn. It goes with its connection: a killed holder loses it at once, one that was
 * stopped, or whose host is cut off, after the lease (FM-F32).
 */
export class AdvisoryLock {
  readonly #connections: PostgresConnections
  readonly #name: string
  readonly #patienceMs: number
  #turn: Promise<unknown> = Promise.resolve()

  constructor(connections: PostgresConnections, name: string, patienceMs: number) {
    this.#connections = connections
    this.#name = name
    this.#patienceMs = patienceMs
  }

  /** Runs `work` while nobody else holds the lock, also in this process. Throws KmsError when it cannot be had. */
  with<T>(work: (lease: Lease) => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => this.#lockAndWork(work))
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  async #lockAndWork<T>(work: (lease: Lease) => Promise<T>): Promise<T> {
    const lease = await this.#take()
    try {
      return await work(lease)
    } finally {
      lease.end()
    }
  }

  async #take(): Promise<Lease> {
    let client: pg.Client | undefined
    try {
      client = await this.#connections.connect(LEASE_MS)
      await client.query(`set lock_timeout = ${this.#patienceMs}`)
      await client.query(
        "select pg_advisory_lock(hashtextextended('hsm-bridge ' || current_schema() || ' ' || $1, 0))",
        [this.#name],
      )
      const asked = performance.now()
      await client.query('select 1') // when the answer above was sent, nobody here knows
      return new Lease(client, asked)
    } catch (cause) {
      void client?.end().catch(() => undefined)
      throw new KmsError(
        'DependencyTimeoutException',
        'The database did not give leave to write to the token in time. The request can be retried.',
        { cause },
      )
    }
  }
}

/** The lock in hand, for as long as its connection is confirmed. */
export class Lease implements TokenWriteLock {
  /** The number of this holder among all that ever had the lock; set when it is known. */
  fence: number | undefined
  othersWrote = true
  readonly #client: pg.Client
  readonly #timer: NodeJS.Timeout
  #confirmedAt: number
  #lost = false

  constructor(client: pg.Client, confirmedAt: number) {
    this.#client = client
    this.#confirmedAt = confirmedAt
    client.once('end', () => this.#lose())
    this.#timer = setInterval(() => void this.#confirm(), CONFIRM_EVERY_MS)
    this.#timer.unref()
  }

  assertHeld(): void {
    if (this.#lost || performance.now() - this.#confirmedAt > BELIEF_MS)
      throw new TokenWriteLockLost()
  }

  end(): void {
    this.#lose()
    void this.#client.end().catch(() => undefined)
  }

  async #confirm(): Promise<void> {
    const asked = performance.now()
    try {
      await this.#client.query('select 1')
      this.#confirmedAt = asked
    } catch {
      this.#lose()
    }
  }

  #lose(): void {
    this.#lost = true
    clearInterval(this.#timer)
  }
}
