import { TokenBucket } from '../kms/request-quotas.ts'
import type { ExternalKeyStore } from '../xks/external-key-store.ts'

interface StoreBucket {
  readonly perSecond: number
  readonly bucket: TokenBucket
}

/** Counts the requests of each external key store against its own quota, so that no store's load is another's (XKS U-09). */
export class StoreQuotas {
  readonly #uptime: () => number
  /** By name: a store is a new object after each change, and a change must not fill its bucket. */
  readonly #buckets = new Map<string, StoreBucket>()

  constructor(uptime: () => number) {
    this.#uptime = uptime
  }

  /** Counts one request; false when it is one too many, which then counts for nothing. One second's requests may come at once. */
  take({ name, requestsPerSecond }: ExternalKeyStore): boolean {
    if (requestsPerSecond === undefined) return true
    const now = this.#uptime()
    const known = this.#buckets.get(name)
    const { bucket } =
      known?.perSecond === requestsPerSecond ? known : this.#open(name, requestsPerSecond, now)
    return bucket.take(now)
  }

  #open(name: string, perSecond: number, now: number): StoreBucket {
    const opened = { perSecond, bucket: new TokenBucket(perSecond, Math.max(1, perSecond), now) }
    this.#buckets.set(name, opened)
    return opened
  }
}
