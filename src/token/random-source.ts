import type { Session } from '../pkcs11/session.ts'
import { assertNotZero } from './iv-monitor.ts'

/**
 * Random bytes from the token. A profile with `randomBatchBytes` draws more than is asked, because C_GenerateRandom is a
 * synchronous network round trip there; every piece is wiped from the batch as it is handed out.
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
    if (bytes <= this.#batchBytes) this.stock(session, bytes)
    const drawn = this.#left >= bytes ? this.#piece(bytes) : session.random(bytes)
    assertNotZero(drawn)
    return drawn
  }

  /** Draws in one call what the next pieces need together. */
  stock(session: Session, bytes: number): void {
    if (this.#left >= bytes) return
    this.forget()
    this.#batch = session.random(Math.max(bytes, this.#batchBytes))
    this.#offset = 0
  }

  /** Forgets what was drawn and not handed out. */
  forget(): void {
    this.#batch.fill(0)
    this.#offset = this.#batch.length
  }

  get #left(): number {
    return this.#batch.length - this.#offset
  }

  #piece(bytes: number): Buffer {
    const end = this.#offset + bytes
    const piece = Buffer.allocUnsafeSlow(bytes) // never in the pool that other buffers share (AT-K09)
    this.#batch.copy(piece, 0, this.#offset, end)
    this.#batch.fill(0, this.#offset, end)
    this.#offset = end
    return piece
  }
}
