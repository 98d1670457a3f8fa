import { LaneError } from './lane-error.ts'

const REMEMBERED = 1024
/** From here on an all-zero result of a sound generator is not going to be seen: 2^-96. */
const CONCLUSIVE_BYTES = 12

/** Watches the IVs that a token gives for a generator that is stuck (FM-F43, AT-C15). */
export class IvMonitor {
  /** In two generations, so that none is ever taken out one by one. */
  #young = new Set<string>()
  #old: ReadonlySet<string> = new Set()

  /** Takes note of an IV. Throws TOKEN_LIED when it is all zero, or one of the last 1,024 over again. */
  note(iv: Buffer): void {
    assertNotZero(iv)
    const text = iv.toString('latin1')
    if (this.#young.has(text) || this.#old.has(text)) throw stuck('the token repeated an IV')
    if (this.#young.size >= REMEMBERED) {
      this.#old = this.#young
      this.#young = new Set()
    }
    this.#young.add(text)
  }
}

/** Throws TOKEN_LIED when bytes that should be random are all zero. */
export function assertNotZero(bytes: Buffer): void {
  if (bytes.length < CONCLUSIVE_BYTES) return
  for (const byte of bytes) if (byte !== 0) return
  throw stuck(`the token gave ${bytes.length} zero bytes as random`)
}

function stuck(message: string): LaneError {
  return new LaneError({ code: 'TOKEN_LIED', message, advice: 'replace' })
}
