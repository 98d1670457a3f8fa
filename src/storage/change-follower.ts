import type pg from 'pg'
import { CHANGE_CHANNEL } from './change-log.ts'
import type { PostgresConnections } from './postgres-connections.ts'

/** Notifications come at once; this is for those that are lost (ARCH-D12: ≤ 250 ms). */
const LOOK_EVERY_MS = 200
/** The database counts as away when it has not answered for so long. */
const ANSWER_MS = 1_500
const RETRY_MS = [20, 100, 250, 500, 1_000]
/** One failure may be an old connection that was cut; the next look takes a new one. */
const FAILURES_THAT_TELL = 2

export interface FollowerParts {
  readonly connections: PostgresConnections
  /** Reads what is new; rejects when the database does not answer. */
  readonly look: () => Promise<void>
  /** Called after every look that tells whether the database is there. */
  readonly seen: (outcome: 'answered' | Error) => void
}

/** Keeps looking for what other daemons committed, and finds out by that whether the database is there. */
export class ChangeFollower {
  readonly #parts: FollowerParts
  #listener: pg.Client | undefined
  #wake: () => void = () => undefined
  #awake = false
  #stopping = false
  #failures = 0
  readonly #ended: Promise<void>

  constructor(parts: FollowerParts) {
    this.#parts = parts
    this.#ended = this.#follow()
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#rouse()
    await this.#ended
    void this.#listener?.end().catch(() => undefined)
  }

  async #follow(): Promise<void> {
    while (!this.#stopping) {
      const outcome = await this.#lookOnce()
      this.#failures = outcome === 'answered' ? 0 : this.#failures + 1
      if (tells(outcome, this.#failures)) this.#parts.seen(outcome)
      await this.#rest(RETRY_MS[Math.min(this.#failures, RETRY_MS.length) - 1] ?? LOOK_EVERY_MS)
    }
  }

  async #lookOnce(): Promise<'answered' | Error> {
    try {
      await within(ANSWER_MS, this.#listenAndLook())
      return 'answered'
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
  }

  async #listenAndLook(): Promise<void> {
    this.#listener ??= await this.#listen()
    await this.#parts.look()
  }

  async #listen(): Promise<pg.Client> {
    const client = await this.#parts.connections.connect(0)
    client.on('notification', () => this.#rouse())
    client.once('end', () => {
      if (this.#listener === client) this.#listener = undefined
    })
    await client.query(`listen ${CHANGE_CHANNEL}`)
    return client
  }

  /** Until the time is over or somebody has news, also news from before the rest began. */
  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#rouse(), this.#awake || this.#stopping ? 0 : ms)
      timer.unref()
      this.#wake = () => {
        clearTimeout(timer)
        this.#awake = false
        resolve()
      }
    })
  }

  #rouse(): void {
    this.#awake = true
    this.#wake()
    this.#wake = () => undefined
  }
}

class NoAnswer extends Error {}

function tells(outcome: 'answered' | Error, failures: number): boolean {
  return outcome === 'answered' || outcome instanceof NoAnswer || failures >= FAILURES_THAT_TELL
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const began = performance.now()
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const wasAsleep = performance.now() - began > 2 * ms // this process was stopped, not the database
      reject(wasAsleep ? new Error('this process was stopped') : new NoAnswer(`none for ${ms} ms`))
    }, ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
