import type { FaceLogger } from './face-logger.ts'
import { UnrecordedError } from './unrecorded-error.ts'

/** Where warnings go. */
export interface WarningLogger {
  warn(message: string, facts: Readonly<Record<string, unknown>>): void
}

const PAUSE_MS = 1000

/** Lets one through a second and counts the others. */
class Sieve {
  readonly #uptime: () => number
  #lastAt = Number.NEGATIVE_INFINITY
  #keptBack = 0

  constructor(uptime: () => number) {
    this.#uptime = uptime
  }

  /** How many were kept back before this one; undefined when it is kept back itself. */
  pass(): number | undefined {
    const now = this.#uptime()
    if (now - this.#lastAt < PAUSE_MS) {
      this.#keptBack += 1
      return undefined
    }
    const keptBack = this.#keptBack
    this.#lastAt = now
    this.#keptBack = 0
    return keptBack
  }
}

/** Warnings that strangers can cause: at most one a second, each with the number of those kept back before it. */
export class SparseLog {
  readonly #logger: WarningLogger
  readonly #sieve: Sieve

  constructor(logger: WarningLogger, uptime: () => number) {
    this.#logger = logger
    this.#sieve = new Sieve(uptime)
  }

  warn(message: string, facts: Readonly<Record<string, unknown>>): void {
    const keptBack = this.#sieve.pass()
    if (keptBack !== undefined) this.#logger.warn(message, { ...facts, keptBack })
  }
}

/** What an operator is told of a request that failed through our fault. */
export interface FailureFacts {
  readonly requestId: string
  readonly operation: string | undefined
  /** The exception's name. */
  readonly code: string
  readonly error: unknown
}

/**
 * Requests that failed through our fault: of each code at most one a second, so that an outage under load fills no disk. Those kept
 * back have their records in the journal all the same, by request id and code.
 */
export class FailureLog {
  readonly #logger: FaceLogger
  readonly #uptime: () => number
  /** One for each exception's name, of which there are a few. */
  readonly #sieves = new Map<string, Sieve>()

  constructor(logger: FaceLogger, uptime: () => number) {
    this.#logger = logger
    this.#uptime = uptime
  }

  note({ error, ...facts }: FailureFacts): void {
    const keptBack = this.#sieveOf(facts.code).pass()
    if (keptBack === undefined) return
    const errors =
      error instanceof UnrecordedError
        ? { error: error.cause, recordError: error.recordError }
        : { error }
    this.#logger.error('request failed', { ...facts, ...errors, keptBack })
  }

  #sieveOf(code: string): Sieve {
    const sieve = this.#sieves.get(code) ?? new Sieve(this.#uptime)
    this.#sieves.set(code, sieve)
    return sieve
  }
}
