import type { Clock } from './clock.ts'
import type { KeyStorage } from './key-storage.ts'

const LARGEST_JUMP_MS = 60 * 60 * 1000

export interface HeartbeatReport {
  /** How far the wall clock is ahead of the heartbeat (negative: behind). */
  readonly aheadMs: number
  /** The wall clock jumped by more than an hour: deletions wait until it agrees again or an operator accepts it. */
  readonly held: boolean
}

/** The earlier of the wall clock and the heartbeat, in epoch milliseconds: what time it is for sure (FM-F26). */
export function agreedNow({ storage, clock }: { storage: KeyStorage; clock: Clock }): number {
  return Math.min(clock.now(), storage.snapshot.heartbeat)
}

/**
 * A clock that nobody can set forward (FM-F26): persisted, it follows the wall clock in small steps, but after a jump of more
 * than an hour it only counts the time that really passed in this process. A key is due when both say so. Time during which
 * the daemon was off for more than an hour is such a jump too.
 */
export class Heartbeat {
  readonly #storage: KeyStorage
  readonly #clock: Clock
  #last: { readonly uptime: number; readonly heartbeat: number } | undefined

  constructor(storage: KeyStorage, clock: Clock) {
    this.#storage = storage
    this.#clock = clock
  }

  /** The earlier of the two clocks, in epoch milliseconds. */
  agreedNow(): number {
    return agreedNow({ storage: this.#storage, clock: this.#clock })
  }

  async beat(): Promise<HeartbeatReport> {
    const uptime = this.#clock.uptime()
    const wall = this.#clock.now()
    const { heartbeat, report } = await this.#storage.change(
      (draft) => {
        const before = this.#storage.snapshot.heartbeat
        const counted = before === 0 ? wall : Math.floor(this.#count(before, uptime))
        const jumped = Math.abs(wall - counted) > LARGEST_JUMP_MS
        const heartbeat = jumped ? counted : Math.max(before, wall)
        draft.setHeartbeat(heartbeat)
        const aheadMs = wall - heartbeat
        return { heartbeat, report: { aheadMs, held: aheadMs > LARGEST_JUMP_MS } }
      },
      { evenReadOnly: true },
    )
    this.#last = { uptime, heartbeat }
    return report
  }

  /**
   * The heartbeat and the time that passed since this process's own last one: other daemons count the same time, and it must not
   * count twice. An operator may have put it back meanwhile; from there it goes on.
   */
  #count(before: number, uptime: number): number {
    if (!this.#last || before < this.#last.heartbeat) return before
    return Math.max(before, this.#last.heartbeat + (uptime - this.#last.uptime))
  }

  /** An operator's word that the wall clock is right. */
  async accept(): Promise<void> {
    const wall = this.#clock.now()
    await this.#storage.change((draft) => draft.setHeartbeat(wall))
  }
}
