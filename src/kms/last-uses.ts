import { setImmediate } from 'node:timers/promises'
import type { AuditTrail } from './audit-trail.ts'
import type { Clock } from './clock.ts'
import type { LastUse } from './key.ts'
import type { KmsRequest } from './kms.ts'
import type { KeyDraft, KeyStorage } from './key-storage.ts'

/** A use that storage does not know yet. Its audit record is written after the operation, so its id is read late. */
interface FreshUse extends Omit<LastUse, 'eventId'> {
  readonly trail: AuditTrail
}

/** Written in one transaction, so that a flush after a busy minute lets requests through. */
const MOST_USES_TOGETHER = 200

/**
 * Remembers the last successful use of each key. Noting one is an entry in a map; storage gets the latest of each key with every
 * flush, so a crash loses what is younger than the last one.
 */
export class LastUses {
  readonly #storage: KeyStorage
  readonly #clock: Clock
  readonly #fresh = new Map<string, FreshUse>()

  constructor(storage: KeyStorage, clock: Clock) {
    this.#storage = storage
    this.#clock = clock
  }

  /** Notes that the keys of this request were used. */
  note({ operation, facts, trail }: KmsRequest): void {
    const use = { operation, at: this.#clock.now(), requestId: facts.requestId, trail }
    for (const keyArn of trail.resources) this.#fresh.set(keyArn, use)
  }

  of(keyArn: string): LastUse | undefined {
    const stored = this.#storage.snapshot.findLastUse(keyArn)
    const fresh = this.#fresh.get(keyArn)
    return fresh && this.#isLater(fresh, stored) ? lastUse(fresh) : stored
  }

  async flush(): Promise<void> {
    const uses = [...this.#fresh]
    for (let start = 0; start < uses.length; start += MOST_USES_TOGETHER) {
      const some = uses.slice(start, start + MOST_USES_TOGETHER)
      await this.#storage.change((draft) => this.#write(draft, some), { evenReadOnly: true })
      for (const [keyArn, use] of some)
        if (this.#fresh.get(keyArn) === use) this.#fresh.delete(keyArn)
      await setImmediate()
    }
  }

  #write(draft: KeyDraft, uses: readonly (readonly [string, FreshUse])[]): void {
    for (const [keyArn, use] of uses)
      if (draft.findKey(keyArn) && this.#isLater(use, draft.findLastUse(keyArn)))
        draft.putLastUse(keyArn, lastUse(use))
  }

  /** Another daemon may have written a later one. One from the future was written under a clock that was wrong. */
  #isLater(use: FreshUse, stored: LastUse | undefined): boolean {
    return !stored || stored.at <= use.at || stored.at > this.#clock.now()
  }
}

function lastUse({ trail, ...use }: FreshUse): LastUse {
  return { ...use, eventId: trail.eventId }
}
