/**
 * Work that is done one after another, by anybody. Whoever has waited for `patienceMs` goes on regardless: the order is good
 * for the token, but a turn that never ends must not keep everybody else from working.
 */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  take<T>(patienceMs: number, work: () => Promise<T>): Promise<T> {
    const turn = atMost(this.#last, patienceMs).then(work)
    this.#last = turn.catch(() => {})
    return turn
  }
}

function atMost(promise: Promise<unknown>, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    void promise.then(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
