import type { TokenPool, TokenPoolStatus } from './token-pool.ts'

export type TokenHealthStatus = 'ACTIVE' | 'DEGRADED' | 'UNAVAILABLE'

/** How well one token serves, as it was last seen. */
export interface TokenHealthReport {
  /** The token's serial number. */
  readonly id: string
  /** What the token calls itself, with its hardware version. Printable ASCII, never empty. */
  readonly model: string
  readonly status: TokenHealthStatus
  /** Epoch milliseconds at the end of the last check; undefined before the first. */
  readonly checkedAt: number | undefined
}

/** Between two checks: while somebody asks, while nobody does, and while the token is not well and its return is awaited. */
const PACE_MS = { asked: 1000, idle: 10_000, unwell: 250 } as const
/** Nobody has asked for this long: idle. */
const ASKED_FOR_MS = 30_000
/** XKS H-05: what worked longer ago than this proves nothing. */
const GOOD_FOR_MS = 60_000
/** A check is a use call with its own deadline; one that takes this much longer is as bad as one that failed. */
const OVERDUE_AFTER_MS = 1000
/** One canary that fails may be a hiccup, which another lane makes good for requests; the second one in a row is none. */
const FAILURES_UNTIL_UNAVAILABLE = 2

/** What the pool says of its lanes, whatever the canary said. */
const BY_POOL_STATE = {
  serving: 'ACTIVE',
  degraded: 'DEGRADED',
  starting: 'UNAVAILABLE',
  down: 'UNAVAILABLE',
  latched: 'UNAVAILABLE',
  stopped: 'UNAVAILABLE',
} as const satisfies Record<TokenPoolStatus['state'], TokenHealthStatus>

const FROM_GOOD_TO_BAD = ['ACTIVE', 'DEGRADED', 'UNAVAILABLE'] as const

type HealthPool = Pick<TokenPool, 'status' | 'health'> & {
  readonly options: Pick<TokenPool['options'], 'tokenSerial' | 'profile'>
}

/**
 * Deep health of one token (XKS H-01): uses the canary, and no other key (XKS H-02), once a second while somebody asks and every
 * ten seconds otherwise, one check at a time. An answer comes from memory, whatever the token does (XKS H-12).
 */
export class TokenHealth {
  readonly #pool: HealthPool
  readonly #now: () => number
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  /** When the check under way began; undefined while there is none. */
  #beganAt: number | undefined
  #askedAt = -Infinity
  #workedAt = -Infinity
  #endedAt = -Infinity
  #checkedAt: number | undefined
  /** In a row. */
  #failures = 0

  /** `now`: milliseconds that only grow. */
  constructor(pool: HealthPool, now: () => number = () => performance.now()) {
    this.#pool = pool
    this.#now = now
  }

  /** Checks from now on, until `stop`. Keeps no process alive. */
  start(): void {
    void this.#check()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  /** The last result, at once; and the next check comes sooner, because somebody asks. */
  report(): TokenHealthReport {
    const wasIdle = !this.#isAsked()
    this.#askedAt = this.#now()
    if (wasIdle) this.#schedule()
    const { tokenSerial, profile } = this.#pool.options
    const { token } = this.#pool.status()
    return {
      id: printable(tokenSerial),
      model: printable(token ? `${token.model} ${token.hardware}` : profile.name),
      status: this.status(),
      checkedAt: this.#checkedAt,
    }
  }

  /** The worse of what the canary and what the pool says. */
  status(): TokenHealthStatus {
    const pool = FROM_GOOD_TO_BAD.indexOf(BY_POOL_STATE[this.#pool.status().state])
    const canary = FROM_GOOD_TO_BAD.indexOf(this.#canaryStatus())
    return FROM_GOOD_TO_BAD[Math.max(pool, canary)] ?? 'UNAVAILABLE'
  }

  #canaryStatus(): TokenHealthStatus {
    if (this.#now() - this.#workedAt > GOOD_FOR_MS) return 'UNAVAILABLE'
    if (this.#isOverdue() || this.#failures >= FAILURES_UNTIL_UNAVAILABLE) return 'UNAVAILABLE'
    return this.#failures > 0 ? 'DEGRADED' : 'ACTIVE'
  }

  #isOverdue(): boolean {
    const { useTotal } = this.#pool.options.profile.deadlinesMs
    return this.#beganAt !== undefined && this.#now() - this.#beganAt > useTotal + OVERDUE_AFTER_MS
  }

  async #check(): Promise<void> {
    if (this.#beganAt !== undefined || this.#stopped) return
    this.#beganAt = this.#now()
    try {
      await this.#pool.health()
      this.#workedAt = this.#now()
      this.#failures = 0
    } catch {
      this.#failures += 1 // why is in the log of the pool
    } finally {
      this.#beganAt = undefined
      this.#endedAt = this.#now()
      this.#checkedAt = Date.now()
      this.#schedule()
    }
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    if (this.#beganAt !== undefined || this.#stopped) return // the end of the check sets the next one
    const waitMs = Math.max(0, this.#endedAt + this.#paceMs() - this.#now())
    this.#timer = setTimeout(() => void this.#check(), waitMs).unref()
  }

  #paceMs(): number {
    if (this.status() !== 'ACTIVE') return PACE_MS.unwell
    return this.#isAsked() ? PACE_MS.asked : PACE_MS.idle
  }

  #isAsked(): boolean {
    return this.#now() - this.#askedAt < ASKED_FOR_MS
  }
}

/** XKS H-10: whatever a token calls itself, what leaves is printable ASCII. */
function printable(text: string): string {
  return text.replace(/[^ -~]/gu, '?').trim() || 'unknown'
}
