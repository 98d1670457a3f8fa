/** So late a deadline may be noticed. */
const TICK_MS = 5

interface Watched {
  readonly dueAt: number
  readonly giveUp: () => void
}

/**
 * Deadlines of one length, all looked after by one timer: one for each request was a fortieth of what the request took. Work that is
 * watched has a place in an array, and no place in a Set: see `PendingCalls` in `token/`.
 */
export class DeadlineWatch {
  readonly #withinMs: number
  #watched: (Watched | undefined)[] = []
  #free: number[] = []
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
      const place = this.#watch(watched)
      work.then(
        (result) => {
          this.#forget(place, watched)
          resolve(result)
        },
        (error: Error) => {
          this.#forget(place, watched)
          reject(error)
        },
      )
    })
  }

  #watch(watched: Watched): number {
    const place = this.#free.pop() ?? this.#watched.length
    this.#watched[place] = watched
    this.#timer ??= setInterval(() => this.#look(), TICK_MS).unref()
    return place
  }

  /** Somebody else may have the place by now. */
  #forget(place: number, watched: Watched): void {
    if (this.#watched[place] !== watched) return
    this.#watched[place] = undefined
    this.#free.push(place)
  }

  #look(): void {
    const now = performance.now()
    for (const [place, watched] of this.#watched.entries()) {
      if (!watched || watched.dueAt > now) continue
      this.#forget(place, watched)
      watched.giveUp()
    }
    if (this.#free.length === this.#watched.length) this.#rest()
  }

  #rest(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#watched = []
    this.#free = []
  }
}
