import { LaneError } from './lane-error.ts'
import type { LaneProcess } from './lane-process.ts'

type Accepts = (lane: LaneProcess) => boolean

interface Waiter {
  readonly accepts: Accepts
  readonly resolve: (lane: LaneProcess) => void
}

const BATCH = 8

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
    for (const waiter of this.#waiting) if (waiter.accepts(lane)) waiter.resolve(lane)
  }

  take(lane: LaneProcess): boolean {
    const index = this.#lanes.indexOf(lane)
    if (index < 0) return false
    this.#lanes.splice(index, 1)
    return true
  }

  /**
   * Of the lanes that `accepts` takes, the one with the fewest calls under way. A lane that is collecting frames for one write is
   * preferred by a few calls: fewer, larger writes cost less than perfect balance gains.
   */
  find(accepts: Accepts): LaneProcess | undefined {
    let best: LaneProcess | undefined
    for (const lane of this.#lanes)
      if (accepts(lane) && (!best || load(lane) < load(best))) best = lane
    return best
  }

  /** Waits until a lane enters that `accepts` takes; rejects with DEVICE_GONE at `deadlineAt` (epoch ms). */
  waitFor(accepts: Accepts, deadlineAt: number): Promise<LaneProcess> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer)
        this.#waiting.delete(waiter)
      }
      const waiter: Waiter = {
        accepts,
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

function load(lane: LaneProcess): number {
  return lane.pendingCalls - (lane.collecting ? BATCH : 0)
}

export function noLane(): LaneError {
  return new LaneError({
    code: 'DEVICE_GONE',
    message: 'no lane of this token is in service',
    advice: 'keep',
  })
}
