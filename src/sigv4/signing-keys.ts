import { createHmac, createSecretKey, randomBytes } from 'node:crypto'
import { Sensitive } from '../bytes/sensitive.ts'
import { TERMINATOR } from './authorization-header.ts'
import { HmacKey } from './hmac-key.ts'

/** What a signing key is derived for. */
export interface SigningScope {
  readonly accessKeyId: string
  /** `YYYYMMDD` in UTC. */
  readonly date: string
  readonly region: string
  readonly service: string
}

interface CachedKey {
  readonly secret: Sensitive<string>
  readonly key: HmacKey
}

/**
 * Signing keys of callers that proved themselves; those not used for long are dropped. Give one to all verifications of a face.
 * A changed secret or a new day is a new key (AT-S25).
 */
export class SigningKeys {
  /** Stands in for the secret of an access key that nobody has, so that both cost the same. */
  readonly dummySecret = new Sensitive(randomBytes(32).toString('base64'))
  readonly #half: number
  /** Two generations: to find a key that was used lately moves nothing. */
  #young = new Map<string, CachedKey>()
  #old: ReadonlyMap<string, CachedKey> = new Map()

  /** Keeps at least half of `limit` keys, those used last, and at most `limit`. */
  constructor(limit = 1000) {
    this.#half = Math.max(1, Math.floor(limit / 2))
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }

  find(scope: SigningScope, secret: Sensitive<string>): HmacKey | undefined {
    const name = nameOf(scope)
    const cached = this.#young.get(name) ?? this.#old.get(name)
    if (cached === undefined || cached.secret.reveal() !== secret.reveal()) return undefined
    if (!this.#young.has(name)) this.#keep(name, cached)
    return cached.key
  }

  remember(scope: SigningScope, secret: Sensitive<string>, key: HmacKey): void {
    this.#keep(nameOf(scope), { secret, key })
  }

  #keep(name: string, cached: CachedKey): void {
    if (this.#young.size >= this.#half) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(name, cached)
  }
}

/** Derives the signing key. Through KeyObjects: node's HMAC with a Buffer for a key was measured four times slower. */
export function deriveSigningKey(scope: SigningScope, secret: Sensitive<string>): HmacKey {
  let key = createSecretKey(`AWS4${secret.reveal()}`, 'utf8')
  for (const part of [scope.date, scope.region, scope.service])
    key = createSecretKey(createHmac('sha256', key).update(part).digest())
  const bytes = createHmac('sha256', key).update(TERMINATOR).digest()
  const signingKey = new HmacKey(bytes)
  bytes.fill(0)
  return signingKey
}

/** No part can hold a slash: they come from splitting at slashes. */
function nameOf(scope: SigningScope): string {
  return `${scope.accessKeyId}/${scope.date}/${scope.region}/${scope.service}`
}
