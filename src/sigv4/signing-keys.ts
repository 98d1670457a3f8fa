import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { Sensitive } from '../bytes/sensitive.ts'
import { TERMINATOR } from './authorization-header.ts'

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
  readonly key: KeyObject
}

/**
 * Signing keys of callers that proved themselves, the least recently used one dropped first. Give one
 * to all verifications of a face. A changed secret or a new day is a new key (AT-S25).
 */
export class SigningKeys {
  /** Stands in for the secret of an access key that nobody has, so that both cost the same. */
  readonly dummySecret = new Sensitive(randomBytes(32).toString('base64'))
  readonly #limit: number
  readonly #cached = new Map<string, CachedKey>()

  constructor(limit = 1000) {
    this.#limit = limit
  }

  get size(): number {
    return this.#cached.size
  }

  find(scope: SigningScope, secret: Sensitive<string>): KeyObject | undefined {
    const name = nameOf(scope)
    const cached = this.#cached.get(name)
    if (cached === undefined || cached.secret.reveal() !== secret.reveal()) return undefined
    this.#cached.delete(name)
    this.#cached.set(name, cached)
    return cached.key
  }

  remember(scope: SigningScope, secret: Sensitive<string>, key: KeyObject): void {
    this.#cached.set(nameOf(scope), { secret, key })
    if (this.#cached.size <= this.#limit) return
    const [oldest] = this.#cached.keys()
    if (oldest !== undefined) this.#cached.delete(oldest)
  }
}

/** Derives the signing key. As KeyObjects: HMAC with a Buffer for a key was measured four times slower. */
export function deriveSigningKey(scope: SigningScope, secret: Sensitive<string>): KeyObject {
  let key = createSecretKey(`AWS4${secret.reveal()}`, 'utf8')
  for (const part of [scope.date, scope.region, scope.service, TERMINATOR])
    key = createSecretKey(createHmac('sha256', key).update(part).digest())
  return key
}

/** No part can hold a slash: they come from splitting at slashes. */
function nameOf(scope: SigningScope): string {
  return `${scope.accessKeyId}/${scope.date}/${scope.region}/${scope.service}`
}
