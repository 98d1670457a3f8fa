import type { RequestFacts } from '../kms/caller.ts'
import type { VerifiedSignature } from '../sigv4/verify-signature.ts'
import { XksError } from '../xks/xks-error.ts'
import type { XksFaceMetrics } from './face-metrics.ts'
import { SeenSignatures } from './seen-signatures.ts'
import { SparseLog, type WarningLogger } from './sparse-log.ts'

/** What becomes of a signed request that comes again while its signature is good. */
export type ReplayMode = 'count' | 'reject'

export interface ReplayWatchParts {
  readonly mode: ReplayMode
  readonly logger: WarningLogger
  /** Milliseconds that never go back. */
  uptime(): number
  readonly metrics: XksFaceMetrics | undefined
}

/** AT-S24: notices requests that come a second time. AWS KMS may repeat one, and so may whoever broke TLS: by default both are served. */
export class ReplayWatch {
  readonly #parts: ReplayWatchParts
  readonly #log: SparseLog
  readonly #seen = new SeenSignatures()

  constructor(parts: ReplayWatchParts) {
    this.#parts = parts
    this.#log = new SparseLog(parts.logger, parts.uptime)
  }

  /** For each verified request, once. Throws XksError AuthenticationFailedException where repeating is refused. */
  note(
    signature: VerifiedSignature,
    store: string,
    { receivedAt, requestId, sourceIp }: RequestFacts,
  ): void {
    if (!this.#seen.note(signature, receivedAt)) return
    const { mode, metrics } = this.#parts
    const { accessKeyId } = signature
    metrics?.observeReplay(store)
    this.#log.warn('signed request repeated', { store, accessKeyId, requestId, sourceIp, mode })
    if (mode === 'reject')
      throw new XksError(
        'AuthenticationFailedException',
        'The request could not be authenticated: it has been received before.',
      )
  }
}
