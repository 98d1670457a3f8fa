import { LaneError } from './lane-error.ts'
import type { LaneProcess } from './lane-process.ts'

interface Waiter {
  readonly without: ReadonlySet<LaneProcess>
  readonly resolve: (lane: LaneProcess) => void
}

/** The hot lanes that answer right now. A lane that must search, log in or be replaced is taken out first (ARCH-D2). */
export class LaneRotation {
  readonly #lanes: LaneProcess[] = []
  readonly #waiting = new Set<Waiter>()

  get size(): number {
    return this.#lanes.length
  }

  get lanes(): readonly LaneProcess[] {
    return this.#lanes
  }

  includes(lane: LaneProcess): boolean {
    return this.#lanes.includes(lane)
  }

  put(lane: LaneProcess): void {
    if (!this.includes(lane)) this.#lanes.push(lane)
    for (const waiter of this.#waiting) if (!waiter.without.has(lane)) waiter.resolve(lane)
  }

  take(lane: LaneProcess): boolean {
    const index = this.#lanes.indexOf(lane)
    if (index < 0) return false
    this.#lanes.splice(index, 1)
    return true
  }

  /** The lane with the fewest calls under way that is not in `without`. */
  find(without: ReadonlySet<LaneProcess>): LaneProcess | undefined {
    let best: LaneProcess | undefined
    for (const lane of this.#lanes)
      if (!without.has(lane) && (!best || lane.pendingCalls < best.pendingCalls)) best = lane
    return best
  }

  /** Waits until a lane that is not in `without` enters; rejects with DEVICE_GONE at `deadlineAt` (epoch ms). */
  waitFor(without: ReadonlySet<LaneProcess>, deadlineAt: number): Promise<LaneProcess> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer)
        this.#waiting.delete(waiter)
      }
      const waiter: Waiter = {
        without,
        resolve: (lane) => {
          leave()
          resolve(lane)
        },
      }
      const timer = setTimeout(
        () => {
          leave()
          reject(noLane())
        },
        Math.max(0, deadlineAt - Date.now()),
      )
      this.#waiting.add(waiter)
    })
  }
}

export function noLane(): LaneError {
  return new LaneError({
    code: 'DEVICE_GONE',
    message: 'no lane of this token is in service',
    advice: 'keep',
  })
}
