import type { Session } from '../pkcs11/session.ts'
import { assertNotZero } from './iv-monitor.ts'

/**
 * Random bytes from the token. With batches it draws more than is asked, because C_GenerateRandom may be a synchronous network
 * round trip (profile `randomBatchBytes`); every piece is wiped from the batch as it is handed out.
 */
export class RandomSource {
  readonly #batchBytes: number
  #batch: Buffer = Buffer.alloc(0)
  #offset = 0

  constructor(batchBytes: number) {
    this.#batchBytes = batchBytes
  }

  /** Throws Pkcs11Error, and TOKEN_LIED when the bytes are all zero. The result is the caller's to wipe. */
  draw(session: Session, bytes: number): Buffer {
    const drawn =
      bytes <= this.#batchBytes ? this.#fromBatch(session, bytes) : session.random(bytes)
    assertNotZero(drawn)
    return drawn
  }

  #refill(session: Session): void {
    this.#batch.fill(0)
    this.#offset = this.#batch.length // nothing is left if the token gives nothing of use
    const batch = session.random(this.#batchBytes)
    assertNotZero(batch)
    this.#batch = batch
    this.#offset = 0
  }

  get #left(): number {
    return this.#batch.length - this.#offset
  }

  #fromBatch(session: Session, bytes: number): Buffer {
    if (this.#left < bytes) this.#refill(session)
    const end = this.#offset + bytes
    const piece = Buffer.allocUnsafeSlow(bytes) // never in the pool that other buffers share (AT-K09)
    this.#batch.copy(piece, 0, this.#offset, end)
    this.#batch.fill(0, this.#offset, end)
    this.#offset = end
    return piece
  }
}
