/** Lets changes of one key happen one after the other, while other keys go on (FM-F27, FM-F28). */
export class CriticalSections {
  readonly #tails = new Map<string, Promise<unknown>>()

  /** Runs `work` when everything that entered under this name before has ended, well or badly. */
  async enter<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(name) ?? Promise.resolve()
    const turn = before.then(work, work)
    this.#tails.set(name, turn)
    try {
      return await turn
    } finally {
      if (this.#tails.get(name) === turn) this.#tails.delete(name)
    }
  }

  /** Resolves when nobody is inside. */
  async settled(): Promise<void> {
    while (this.#tails.size > 0) await Promise.allSettled(this.#tails.values())
  }
}
