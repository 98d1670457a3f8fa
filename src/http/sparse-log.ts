/** Where warnings go. */
export interface WarningLogger {
  warn(message: string, facts: Readonly<Record<string, unknown>>): void
}

const PAUSE_MS = 1000

/** Warnings that strangers can cause: at most one a second, each with the number of those kept back before it. */
export class SparseLog {
  readonly #logger: WarningLogger
  readonly #uptime: () => number
  #lastAt = Number.NEGATIVE_INFINITY
  #keptBack = 0

  constructor(logger: WarningLogger, uptime: () => number) {
    this.#logger = logger
    this.#uptime = uptime
  }

  warn(message: string, facts: Readonly<Record<string, unknown>>): void {
    const now = this.#uptime()
    if (now - this.#lastAt < PAUSE_MS) {
      this.#keptBack += 1
      return
    }
    this.#logger.warn(message, { ...facts, keptBack: this.#keptBack })
    this.#lastAt = now
    this.#keptBack = 0
  }
}
