/** So late a deadline may be noticed. */
const TICK_MS = 5

interface Watched {
  readonly dueAt: number
  readonly giveUp: () => void
}

/** Deadlines of one length, all looked after by one timer: one for each request was a fortieth of what the request took. */
export class DeadlineWatch {
  readonly #withinMs: number
  readonly #watched = new Set<Watched>()
  #timer: NodeJS.Timeout | undefined

  constructor(withinMs: number) {
    this.#withinMs = withinMs
  }

  /**
   * What `work` gives; or the rejection that `late` makes, once `withinMs` have passed since `startedAt` (of `performance.now()`). The
   * work goes on then, and nobody hears of it here.
   */
  within<T>(work: Promise<T>, late: () => Error, startedAt = performance.now()): Promise<T> {
    return new Promise((resolve, reject) => {
      const watched = { dueAt: startedAt + this.#withinMs, giveUp: () => reject(late()) }
      this.#watched.add(watched)
      this.#timer ??= setInterval(() => this.#look(), TICK_MS).unref()
      work.then(
        (result) => {
          this.#watched.delete(watched)
          resolve(result)
        },
        (error: Error) => {
          this.#watched.delete(watched)
          reject(error)
        },
      )
    })
  }

  #look(): void {
    const now = performance.now()
    for (const watched of this.#watched) {
      if (watched.dueAt > now) continue
      this.#watched.delete(watched)
      watched.giveUp()
    }
    if (this.#watched.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
