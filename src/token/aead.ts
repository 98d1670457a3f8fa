import { createHash } from 'node:crypto'
import { equalBytes } from '../bytes/equal.ts'
import { fields } from '../bytes/fields.ts'
import type { AeadSchemeName } from '../crypto/aead-scheme.ts'
import { CustodyError } from '../crypto/custody-error.ts'
import type { Sealed } from '../crypto/key-custody.ts'
import { aesCbc, aesGcm, hmacSha256 } from '../pkcs11/mechanism.ts'
import type { Session } from '../pkcs11/session.ts'
import type { VendorProfile } from '../pkcs11/vendor-profile.ts'
import { IvMonitor } from './iv-monitor.ts'
import { IvSource } from './iv-source.ts'
import { LaneError } from './lane-error.ts'
import type { Steps } from './lane-steps.ts'
import { RandomSource } from './random-source.ts'

const TAG_BYTES = 16
const MAC_BYTES = 32
const BLOCK_BYTES = 16
/** IV lengths that a token of ours ever wrote: 96 bits, and Luna's 16 bytes in FIPS mode. */
const GCM_IV_BYTES: readonly number[] = [12, 16]

/** The MAC of a ciphertext does not fit. Whether the ciphertext or the token is to blame is for the evidence to say. */
export class MacMismatch extends Error {}

/** Handles of a scheme's objects, in the scheme's order. */
export type SchemeKeys = readonly Buffer[]

interface Scheme {
  seal(
    aead: Aead,
    session: Session,
    keys: SchemeKeys,
    plaintext: Buffer,
    aad: Buffer,
  ): Steps<Sealed>
  open(aead: Aead, session: Session, keys: SchemeKeys, sealed: Sealed, aad: Buffer): Steps<Buffer>
}

/** How each scheme of `crypto/aead-scheme.ts` is carried out on a session (ARCH-D7). */
const SCHEMES = {
  AES_GCM: { seal: sealGcm, open: openGcm },
  AES_CBC_HMAC: { seal: sealCbcHmac, open: openCbcHmac },
} as const satisfies Record<AeadSchemeName, Scheme>

/** Authenticated encryption inside one token: its profile, its random bytes, and the watch over its IVs. */
export class Aead {
  readonly profile: VendorProfile
  /** For plaintexts: what nobody has asked for yet does not lie in memory, unless the profile wants it to. */
  readonly random: RandomSource
  readonly #ivs: IvSource
  readonly #monitor = new IvMonitor()

  constructor(profile: VendorProfile) {
    this.profile = profile
    this.random = new RandomSource(profile.randomBatchBytes)
    this.#ivs = new IvSource(profile.randomBatchBytes)
  }

  /** Encrypts. Throws Pkcs11Error from a step, INPUT for a plaintext too long, TOKEN_LIED for a bad IV or length. */
  seal(
    scheme: AeadSchemeName,
    session: Session,
    keys: SchemeKeys,
    plaintext: Buffer,
    aad: Buffer,
  ): Steps<Sealed> {
    return SCHEMES[scheme].seal(this, session, keys, plaintext, aad)
  }

  /**
   * Decrypts. Throws CIPHERTEXT_REJECTED, without a token call, for what no token of ours can have written; MacMismatch
   * or Pkcs11Error where the evidence must decide.
   */
  open(
    scheme: AeadSchemeName,
    session: Session,
    keys: SchemeKeys,
    sealed: Sealed,
    aad: Buffer,
  ): Steps<Buffer> {
    return SCHEMES[scheme].open(this, session, keys, sealed, aad)
  }

  drawIv(session: Session, bytes: number): Buffer {
    const iv = this.#ivs.draw(session, bytes)
    this.noteIv(iv)
    return iv
  }

  noteIv(iv: Buffer): void {
    this.#monitor.note(iv)
  }
}

// ── AES-GCM inside the token ─────────────────────────────────────────────────────────────────────────────────────────

/** Where the IV comes from, and how much of it follows the tag in the output (profile `ivModel`). */
const IV_MODELS = {
  host: {
    before: (aead, session) => aead.drawIv(session, aead.profile.ivBytes),
    appended: false,
  },
  // AWS CloudHSM, nShield: the parameter must be zero, and the HSM writes its IV there.
  'hsm-written': { before: (aead) => Buffer.alloc(aead.profile.ivBytes), appended: false },
  // Luna: without an IV it makes one and puts it behind the tag.
  'hsm-appended': { before: () => Buffer.alloc(0), appended: true },
} as const satisfies Record<
  VendorProfile['ivModel'],
  { before(aead: Aead, session: Session): Buffer; appended: boolean }
>

function* sealGcm(
  aead: Aead,
  session: Session,
  keys: SchemeKeys,
  plaintext: Buffer,
  aad: Buffer,
): Steps<Sealed> {
  const { profile } = aead
  const sealedBytes = plaintext.length + TAG_BYTES
  // The token must be able to take it back in one C_Decrypt.
  if (sealedBytes > profile.maxCipherBytes) throw tooLong(plaintext.length)
  const model = IV_MODELS[profile.ivModel]
  const parameterIv = model.before(aead, session)
  const outputBytes = sealedBytes + (model.appended ? profile.ivBytes : 0)
  const output = yield {
    call: 'encrypt',
    session,
    mechanism: aesGcm({ iv: parameterIv, aad, tagBits: TAG_BYTES * 8 }, profile),
    key: keyAt(keys, 0),
    input: plaintext,
    maxOutputBytes: outputBytes,
  }
  assertLength('C_Encrypt', output, outputBytes)
  const iv = model.appended ? output.subarray(sealedBytes) : parameterIv
  if (profile.ivModel !== 'host') aead.noteIv(iv)
  return { iv, ciphertext: output.subarray(0, sealedBytes) }
}

function* openGcm(
  aead: Aead,
  session: Session,
  keys: SchemeKeys,
  { iv, ciphertext }: Sealed,
  aad: Buffer,
): Steps<Buffer> {
  const { maxCipherBytes } = aead.profile
  // SoftHSM2 takes IVs and tags of any length, zero included: what we never wrote does not reach it (AT-C08).
  if (!GCM_IV_BYTES.includes(iv.length)) throw rejected(`an IV of ${iv.length} bytes`)
  if (ciphertext.length < TAG_BYTES) throw rejected('shorter than its tag')
  if (ciphertext.length > maxCipherBytes) throw rejected('longer than the token takes')
  const plaintextBytes = ciphertext.length - TAG_BYTES
  const plaintext = yield {
    call: 'decrypt',
    session,
    mechanism: aesGcm({ iv, aad, tagBits: TAG_BYTES * 8 }, aead.profile),
    key: keyAt(keys, 0),
    input: ciphertext,
    maxOutputBytes: ciphertext.length,
  }
  assertLength('C_Decrypt', plaintext, plaintextBytes)
  return plaintext
}

// ── AES-CBC, then HMAC ───────────────────────────────────────────────────────────────────────────────────────────────

function* sealCbcHmac(
  aead: Aead,
  session: Session,
  keys: SchemeKeys,
  plaintext: Buffer,
  aad: Buffer,
): Steps<Sealed> {
  const iv = aead.drawIv(session, BLOCK_BYTES)
  const padded = pad(plaintext)
  const body = yield* chained('encrypt', aead, session, keyAt(keys, 0), iv, padded)
  padded.fill(0)
  const mac = yield* macOf(aead, session, keyAt(keys, 1), aad, iv, body)
  return { iv, ciphertext: Buffer.concat([body, mac]) }
}

function* openCbcHmac(
  aead: Aead,
  session: Session,
  keys: SchemeKeys,
  { iv, ciphertext }: Sealed,
  aad: Buffer,
): Steps<Buffer> {
  const bodyBytes = ciphertext.length - MAC_BYTES
  if (iv.length !== BLOCK_BYTES) throw rejected(`an IV of ${iv.length} bytes`)
  if (bodyBytes < BLOCK_BYTES || bodyBytes % BLOCK_BYTES !== 0) throw rejected('a broken length')
  const body = ciphertext.subarray(0, bodyBytes)
  // AT-C16: the MAC first, so that nobody ever learns anything about the padding.
  const mac = yield* macOf(aead, session, keyAt(keys, 1), aad, iv, body)
  if (!equalBytes(mac, ciphertext.subarray(bodyBytes)))
    throw new MacMismatch('the MAC does not fit')
  const padded = yield* chained('decrypt', aead, session, keyAt(keys, 0), iv, body)
  return unpad(padded)
}

/** CBC in pieces that the device takes; the last cipher block of one is the IV of the next. The result is unpooled. */
function* chained(
  call: 'encrypt' | 'decrypt',
  aead: Aead,
  session: Session,
  key: Buffer,
  firstIv: Buffer,
  input: Buffer,
): Steps<Buffer> {
  const { profile } = aead
  const pieceBytes = profile.maxCipherBytes - (profile.maxCipherBytes % BLOCK_BYTES)
  const output = Buffer.allocUnsafeSlow(input.length)
  let iv = firstIv
  for (let start = 0; start < input.length; start += pieceBytes) {
    const piece = input.subarray(start, start + pieceBytes)
    const part = yield {
      call,
      session,
      mechanism: aesCbc(iv, profile),
      key,
      input: piece,
      maxOutputBytes: piece.length + BLOCK_BYTES,
    }
    assertLength(call === 'encrypt' ? 'C_Encrypt' : 'C_Decrypt', part, piece.length)
    part.copy(output, start)
    iv = Buffer.from((call === 'encrypt' ? part : piece).subarray(-BLOCK_BYTES))
    if (call === 'decrypt') part.fill(0)
  }
  return output
}

/** HMAC over a digest of the length-prefixed parts: 32 bytes, so that it fits every device, and no byte can move (AT-C07). */
function* macOf(
  aead: Aead,
  session: Session,
  key: Buffer,
  aad: Buffer,
  iv: Buffer,
  body: Buffer,
): Steps<Buffer> {
  const parts = fields().sized(4, aad).sized(1, iv).sized(4, body).bytes()
  const mac = yield {
    call: 'sign',
    session,
    mechanism: hmacSha256(aead.profile),
    key,
    input: createHash('sha256').update(parts).digest(),
    maxOutputBytes: MAC_BYTES,
  }
  assertLength('C_Sign', mac, MAC_BYTES)
  return mac
}

/** PKCS#7 on the host: CKM_AES_CBC_PAD cannot be chunked. */
function pad(plaintext: Buffer): Buffer {
  const count = BLOCK_BYTES - (plaintext.length % BLOCK_BYTES)
  const padded = Buffer.allocUnsafeSlow(plaintext.length + count).fill(count, plaintext.length)
  plaintext.copy(padded)
  return padded
}

function unpad(padded: Buffer): Buffer {
  const count = padded.at(-1) ?? 0
  const end = padded.length - count
  const whole = count >= 1 && count <= BLOCK_BYTES && padded.subarray(end).every((b) => b === count)
  if (whole) return padded.subarray(0, end)
  padded.fill(0)
  // The MAC was right, so these are bytes of ours, and the token did not give them back.
  throw lied('C_Decrypt', 'bytes without padding under a MAC that fits')
}

// ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function keyAt(keys: SchemeKeys, index: number): Buffer {
  const key = keys[index]
  if (!key) throw new TypeError(`the scheme needs ${index + 1} keys`)
  return key
}

function assertLength(call: string, output: Buffer, bytes: number): void {
  if (output.length !== bytes) throw lied(call, `${output.length} bytes instead of ${bytes}`)
}

function lied(call: string, what: string): LaneError {
  const message = `${call} gave ${what}`
  return new LaneError({ code: 'TOKEN_LIED', message, call, advice: 'replace' })
}

function rejected(why: string): CustodyError {
  return new CustodyError('CIPHERTEXT_REJECTED', `ciphertext refused before the token: ${why}`)
}

function tooLong(bytes: number): CustodyError {
  return new CustodyError('INPUT', `${bytes} bytes are more than the token encrypts at once`)
}
