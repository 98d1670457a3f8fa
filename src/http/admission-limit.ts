export interface AdmissionOptions {
  /** However slow the tokens are, so many requests may wait for them. */
  readonly fewest: number
  readonly most: number
  /** Time behind the door that nobody may undercut before fewer are let in. */
  readonly targetMs: number
}

/** AWS KMS waits 250 ms in all; a new connection takes up to 145 ms of them. */
export const ADMISSION_DEFAULTS: AdmissionOptions = { fewest: 32, most: 1024, targetMs: 50 }

const WINDOW_MS = 100
const SHRINK = 0.7
const GROW = 1.1

/**
 * How many requests may be at the tokens at once; whoever comes on top is refused at once, so that those inside are answered in
 * time. When for a whole window even the quickest took longer than the target, a queue stands: fewer are let in. A single slow
 * call, or a pause of the process, makes no difference.
 */
export class AdmissionLimit {
  readonly #options: AdmissionOptions
  readonly #uptime: () => number
  #limit: number
  #inside = 0
  #windowEnds = Number.NEGATIVE_INFINITY
  #quickestMs = Number.POSITIVE_INFINITY
  #wasFull = false

  /** `uptime` gives milliseconds that never go back. */
  constructor(uptime: () => number, options: Partial<AdmissionOptions> = {}) {
    this.#options = { ...ADMISSION_DEFAULTS, ...options }
    this.#uptime = uptime
    // Room is earned: a queue that was let in at once would outlive the deadline of everybody in it.
    this.#limit = Math.min(this.#options.most, 4 * this.#options.fewest)
  }

  /** How many may be inside right now. */
  get limit(): number {
    return Math.floor(this.#limit)
  }

  get inside(): number {
    return this.#inside
  }

  /** Lets one in, and answers when that was; undefined when there is no room. Who is let in must `leave`. */
  tryEnter(): number | undefined {
    if (this.#inside >= this.limit) {
      this.#wasFull = true
      return undefined
    }
    this.#inside += 1
    return this.#uptime()
  }

  leave(enteredAt: number): void {
    this.#inside -= 1
    const now = this.#uptime()
    const tookMs = now - enteredAt
    if (tookMs < this.#quickestMs) this.#quickestMs = tookMs
    if (now >= this.#windowEnds) this.#adjust(now)
  }

  #adjust(now: number): void {
    const { fewest, most, targetMs } = this.#options
    if (this.#quickestMs > targetMs) this.#limit = Math.max(fewest, this.#limit * SHRINK)
    else if (this.#wasFull) this.#limit = Math.min(most, this.#limit * GROW)
    this.#windowEnds = now + WINDOW_MS
    this.#quickestMs = Number.POSITIVE_INFINITY
    this.#wasFull = false
  }
}
