import type { Session } from '../pkcs11/session.ts'
import { assertNotZero } from './iv-monitor.ts'

/** C_GenerateRandom for each IV by itself was a seventh of an encryption (SoftHSM2 2.6.1, 2026-11-22). */
const BATCH_BYTES = 768

/** IVs from the token's generator, many drawn at once. They are no secret: each is a view of the batch, which is never written again. */
export class IvSource {
  readonly #batchBytes: number
  #batch: Buffer = Buffer.alloc(0)

  /** Draws at least `batchBytes` at once. */
  constructor(batchBytes: number) {
    this.#batchBytes = Math.max(batchBytes, BATCH_BYTES)
  }

  /** Throws Pkcs11Error, and TOKEN_LIED when the bytes are all zero. */
  draw(session: Session, bytes: number): Buffer {
    if (this.#batch.length < bytes) this.#batch = drawn(session, this.#batchBytes)
    const iv = this.#batch.subarray(0, bytes)
    this.#batch = this.#batch.subarray(bytes)
    return iv
  }
}

function drawn(session: Session, bytes: number): Buffer {
  const batch = session.random(bytes)
  assertNotZero(batch)
  return batch
}
