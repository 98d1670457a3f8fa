import type { Clock } from './clock.ts'
import type { KeyStorage } from './key-storage.ts'

const LARGEST_JUMP_MS = 60 * 60 * 1000

export interface HeartbeatReport {
  /** How far the wall clock is ahead of the heartbeat (negative: behind). */
  readonly aheadMs: number
  /** The wall clock jumped by more than an hour: deletions wait until it agrees again or an operator accepts it. */
  readonly held: boolean
}

/**
 * A clock that nobody can set forward (FM-F26): persisted, it follows the wall clock in small steps, but after a jump of more
 * than an hour it only counts the time that really passed in this process. A key is due when both say so. Time during which
 * the daemon was off for more than an hour is such a jump too.
 */
export class Heartbeat {
  readonly #storage: KeyStorage
  readonly #clock: Clock
  #lastUptime: number | undefined

  constructor(storage: KeyStorage, clock: Clock) {
    this.#storage = storage
    this.#clock = clock
  }

  /** The earlier of the two clocks, in epoch milliseconds. */
  agreedNow(): number {
    return Math.min(this.#clock.now(), this.#storage.snapshot.heartbeat)
  }

  async beat(): Promise<HeartbeatReport> {
    const uptime = this.#clock.uptime()
    const passed = uptime - (this.#lastUptime ?? uptime)
    this.#lastUptime = uptime
    const wall = this.#clock.now()
    return this.#storage.change(
      (draft) => {
        const before = this.#storage.snapshot.heartbeat
        const counted = before === 0 ? wall : Math.floor(before + passed)
        const jumped = Math.abs(wall - counted) > LARGEST_JUMP_MS
        const heartbeat = jumped ? counted : Math.max(before, wall)
        draft.setHeartbeat(heartbeat)
        return { aheadMs: wall - heartbeat, held: wall - heartbeat > LARGEST_JUMP_MS }
      },
      { evenReadOnly: true },
    )
  }

  /** An operator's word that the wall clock is right. */
  async accept(): Promise<void> {
    const wall = this.#clock.now()
    await this.#storage.change((draft) => draft.setHeartbeat(wall))
  }
}
