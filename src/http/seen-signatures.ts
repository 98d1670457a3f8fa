import { MAX_SKEW_SECONDS, type VerifiedSignature } from '../sigv4/verify-signature.ts'

const ENTRIES_PER_BUCKET = 16
const INDEX_BITS = 17
const WORDS_PER_ENTRY = 2
/** The second of signing is kept in so many bits: it comes round again after 18 hours. */
const TIME_MASK = 0xffff

/**
 * The verified signatures of the last minutes, in 16 MiB whatever comes: two million. A bucket that is full forgets its oldest, so a
 * repeated request may be taken for a new one: of five minutes at 1,800 requests a second none was, at 5,000 2 %, at 14,000 half.
 * To take a new one for a repeated one, two signatures would have to agree in 17 bits of index, in 48 bits more and in their second.
 * SHA-256 spreads them evenly, so at r requests a second that happens r²/2⁶⁵ times a second: at 1,800 once in 360,000 years.
 *
 * Only what has been verified may be noted, or strangers could fill it.
 */
export class SeenSignatures {
  readonly #entries: Int32Array
  readonly #indexMask: number

  /** `indexBits`, up to 20: the number of buckets as a power of two. */
  constructor(indexBits = INDEX_BITS) {
    this.#indexMask = (1 << indexBits) - 1
    this.#entries = new Int32Array((ENTRIES_PER_BUCKET * WORDS_PER_ENTRY) << indexBits)
  }

  /** Notes a signature; true when it is there already. `now` in epoch milliseconds. Makes no garbage: this is once per request. */
  note({ signature, signedAt }: VerifiedSignature, now: number): boolean {
    const entries = this.#entries
    const signedSecond = Math.floor(signedAt / 1000)
    const lead = MAX_SKEW_SECONDS - Math.floor(now / 1000)
    const first = bitsOf(signature, 0, 8)
    const second = (bitsOf(signature, 8, 12) << 16) | (signedSecond & TIME_MASK)
    const bucket = bitsOf(signature, 12, 17) & this.#indexMask
    const start = bucket * ENTRIES_PER_BUCKET * WORDS_PER_ENTRY
    const end = start + ENTRIES_PER_BUCKET * WORDS_PER_ENTRY

    let victim = start
    let leastLeft = TIME_MASK
    for (let at = start; at < end; at += WORDS_PER_ENTRY) {
      const kept = entries[at + 1] as number
      if (kept === second && entries[at] === first) return true
      const left = secondsLeft(kept, lead)
      if (left >= leastLeft) continue
      victim = at
      leastLeft = left
    }
    entries[victim] = first
    entries[victim + 1] = second
    return false
  }
}

/** For how long the signature of an entry is good; -1 when it is so no more, as with an entry that was never used. */
function secondsLeft(kept: number, lead: number): number {
  const left = (kept + lead) & TIME_MASK
  return left > 2 * MAX_SKEW_SECONDS ? -1 : left
}

/** Lower-case hex digits, up to eight, as an int32. */
function bitsOf(hex: string, from: number, to: number): number {
  let bits = 0
  for (let i = from; i < to; i++) {
    const code = hex.charCodeAt(i)
    bits = (bits << 4) | ((code & 15) + 9 * (code >> 6)) // a letter has bit 6 set, and 1 to 6 below
  }
  return bits
}
