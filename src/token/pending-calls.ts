const LARGEST_ID = 0xffff_ffff
const FEWEST_SLOTS = 64

/**
 * Calls under way by their number, which no later call gets before four thousand million others had theirs.
 *
 * Not a Map: one that is filled and emptied all the time leaves a chain of dead tables behind. Once V8 has taken one of them for old, it
 * keeps the whole chain, and whatever the tables ever held, until its next full collection: a quarter of all requests of the front.
 */
export class PendingCalls<Call extends object> {
  #slots: ({ readonly id: number; readonly call: Call } | undefined)[] = emptySlots(FEWEST_SLOTS)
  #size = 0
  #lastId = 0

  get size(): number {
    return this.#size
  }

  /** Answers the number of the call, 1 to 2^32 - 1. */
  add(call: Call): number {
    if (this.#size * 2 >= this.#slots.length) this.#grow()
    let id = this.#lastId
    do id = id === LARGEST_ID ? 1 : id + 1
    while (this.#slots[this.#slotOf(id)])
    this.#slots[this.#slotOf(id)] = { id, call }
    this.#lastId = id
    this.#size += 1
    return id
  }

  /** Takes the call out; undefined when it is not under way any more. */
  take(id: number): Call | undefined {
    const slot = this.#slotOf(id)
    const found = this.#slots[slot]
    if (found?.id !== id) return undefined
    this.#slots[slot] = undefined
    this.#size -= 1
    return found.call
  }

  /** Those that `accepts` takes; they stay. */
  find(accepts: (call: Call) => boolean): Call | undefined {
    for (const slot of this.#slots) if (slot && accepts(slot.call)) return slot.call
    return undefined
  }

  /** Takes out all that `accepts` takes. */
  takeAll(accepts: (call: Call) => boolean = () => true): Call[] {
    const ids = this.#slots.flatMap((slot) => (slot && accepts(slot.call) ? [slot.id] : []))
    return ids.map((id) => this.take(id) as Call)
  }

  #slotOf(id: number): number {
    return id & (this.#slots.length - 1)
  }

  #grow(): void {
    const before = this.#slots
    this.#slots = emptySlots(before.length * 2)
    for (const slot of before) if (slot) this.#slots[this.#slotOf(slot.id)] = slot
  }
}

/** A power of two. */
function emptySlots(count: number): undefined[] {
  return new Array<undefined>(count).fill(undefined)
}
