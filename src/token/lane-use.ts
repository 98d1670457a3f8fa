import { hash } from 'node:crypto'
import { equalBytes } from '../bytes/equal.ts'
import { AEAD_SCHEMES } from '../crypto/aead-scheme.ts'
import { CKA, CKK, CKO, ulongOf } from '../pkcs11/attribute.ts'
import { CustodyError } from '../crypto/custody-error.ts'
import type { Sealed } from '../crypto/key-custody.ts'
import { Pkcs11Error } from '../pkcs11/pkcs11-error.ts'
import type { SchemeKeys } from './aead.ts'
import { opensBirthProof } from './birth-proof.ts'
import { isAmbiguous } from './evidence.ts'
import type { LaneError } from './lane-error.ts'
import { fault, laneErrorOf } from './lane-fault.ts'
import {
  decryptCall,
  encryptCall,
  encryptRandomCall,
  type EncryptVerifiedCall,
  encryptVerifiedCall,
  LANE_CALLS,
  type LaneCall,
  type MaterialUse,
  randomCall,
  sealedReply,
  verifiedReply,
} from './lane-protocol.ts'
import type { LaneState } from './lane-state.ts'
import { atOnce, type Steps } from './lane-steps.ts'
import type { Lease } from './lane-token.ts'
import { type IndexedKey, inUse } from './object-index.ts'

// ── the five calls that use keys ─────────────────────────────────────────────────────────────────────────────────────

export function encrypt(lane: LaneState, payload: Buffer): Steps<Buffer> {
  const { material, aad, plaintext } = encryptCall.read(payload)
  return cured(lane, 'encrypt', material, function* ({ session }, keys) {
    return sealedReply.write(yield* lane.aead.seal(material.scheme, session, keys, plaintext, aad))
  })
}

export function decrypt(lane: LaneState, payload: Buffer): Steps<Buffer> {
  const { material, aad, sealed } = decryptCall.read(payload)
  return cured(lane, 'decrypt', material, ({ session }, keys) =>
    lane.aead.open(material.scheme, session, keys, sealed, aad),
  )
}

/** XKS E-15: encrypt, then the digest over what the token gave, then back through the token; only then an answer. */
export function encryptVerified(lane: LaneState, payload: Buffer): Steps<Buffer> {
  const request = encryptVerifiedCall.read(payload)
  const { material, aad, plaintext, digestPrefix } = request
  return cured(lane, 'encryptVerified', material, function* (lease, keys) {
    const sealed = yield* lane.aead.seal(material.scheme, lease.session, keys, plaintext, aad)
    const { iv, ciphertext } = sealed
    const covered = Buffer.concat([digestPrefix, iv, ciphertext])
    const digest = Buffer.from(hash('sha256', covered, 'binary'), 'latin1') // no memory of its own, see Session
    yield* assertTakesBack(lane, lease, keys, request, sealed)
    return verifiedReply.write({ iv, ciphertext, digest })
  })
}

export function encryptRandom(lane: LaneState, payload: Buffer): Steps<Buffer> {
  const { material, aad, bytes } = encryptRandomCall.read(payload)
  return cured(lane, 'encryptRandom', material, function* ({ session }, keys) {
    const plaintext = lane.aead.random.draw(session, bytes)
    try {
      const sealed = yield* lane.aead.seal(material.scheme, session, keys, plaintext, aad)
      return sealedReply.write(sealed, plaintext)
    } finally {
      plaintext.fill(0)
    }
  })
}

/** Throws TOKEN_LIED unless the token gives back, under the same key, the very plaintext of what it has just sealed. */
function* assertTakesBack(
  lane: LaneState,
  lease: Lease,
  keys: SchemeKeys,
  { material, aad, plaintext }: EncryptVerifiedCall,
  sealed: Sealed,
): Steps<void> {
  let opened: Buffer
  try {
    opened = yield* lane.aead.open(material.scheme, lease.session, keys, sealed, aad)
  } catch (error) {
    if (!isRefusal(error)) throw error
    // Looked at now, whatever worked a moment ago: a lane must not go for the trouble of the whole token (ARCH-D10).
    yield* lane.evidence.assertCanary(lease)
    yield* lane.evidence.assertProof(lease, material)
    throw fault('TOKEN_LIED', 'replace', 'the token refuses what it has just encrypted', error)
  }
  const same = equalBytes(opened, plaintext) // XKS E-16: CKR_OK alone proves nothing
  opened.fill(0)
  if (!same)
    throw fault('TOKEN_LIED', 'replace', 'the token decrypts what it has encrypted to other bytes')
}

function isRefusal(error: unknown): boolean {
  const rejected = error instanceof CustodyError && error.code === 'CIPHERTEXT_REJECTED'
  return rejected || isAmbiguous(error)
}

export function random(lane: LaneState, payload: Buffer): Steps<Buffer> {
  const bytes = randomCall.read(payload)
  return cured(lane, 'random', undefined, ({ session }) =>
    atOnce(() => lane.aead.random.draw(session, bytes)),
  )
}

// ── cures ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Runs `work` on a leased session with the handles of `material`, applies the cure of the CKR table where it fails (FM-3.1),
 * and throws the LaneError that is left.
 */
export function* cured<T>(
  lane: LaneState,
  call: LaneCall,
  material: MaterialUse | undefined,
  work: (lease: Lease, keys: SchemeKeys) => Steps<T>,
): Steps<T> {
  const lease = takeLease(lane)
  const attempt = function* (): Steps<T> {
    const keys = material ? yield* provenKeys(lane, lease, material) : []
    return yield* work(lease, keys)
  }
  const decrypts = call === 'decrypt' && material
  try {
    return yield* tryOnceMore(lane, call, lease, () =>
      decrypts ? onceMoreOnEvidence(lane, lease, material, attempt) : attempt(),
    )
  } catch (error) {
    throw yield* verdictOn(error, lane, call, lease, material)
  } finally {
    lane.token.giveBack(lease)
  }
}

function takeLease(lane: LaneState): Lease {
  try {
    return lane.token.take()
  } catch (error) {
    throw laneErrorOf(error, { code: 'DEVICE_GONE', advice: 'replace' })
  }
}

/** A lost session is no fault of the token: a fresh one, and again, if nothing was changed by the call (FM-R7). */
function* tryOnceMore<T>(
  lane: LaneState,
  call: LaneCall,
  lease: Lease,
  work: () => Steps<T>,
): Steps<T> {
  try {
    return yield* work()
  } catch (error) {
    if (!isSessionLost(error) || !LANE_CALLS[call].idempotent) throw error
    lane.evidence.forget()
    lease.renew()
    if (!lease.session.isLoggedIn())
      throw fault('KEY_UNAVAILABLE', 'recover', 'the process is no longer logged in', error)
  }
  return yield* work()
}

function isSessionLost(error: unknown): boolean {
  return error instanceof Pkcs11Error && error.ckrClass === 'SESSION'
}

/**
 * A refusal that may be the token's own trouble is tried again once canary and proof have just worked: what passes by is not
 * the ciphertext's fault (ARCH-D10). Within a flood the evidence is believed for a moment, and nothing is tried again (FM-R11).
 */
function* onceMoreOnEvidence<T>(
  lane: LaneState,
  lease: Lease,
  material: MaterialUse,
  work: () => Steps<T>,
): Steps<T> {
  try {
    return yield* work()
  } catch (error) {
    if (!isAmbiguous(error)) throw error
    const lookedNow = yield* lane.evidence.assertBothWork(lease, material)
    if (!lookedNow) throw error
    if (lease.session.tainted) lease.renew()
  }
  return yield* work()
}

function* verdictOn(
  error: unknown,
  lane: LaneState,
  call: LaneCall,
  lease: Lease,
  material: MaterialUse | undefined,
): Steps<LaneError> {
  try {
    if (isAmbiguous(error)) {
      yield* lane.evidence.assertBothWork(lease, material)
      return blamed(error, call)
    }
    if (!(error instanceof Pkcs11Error)) return laneErrorOf(error)
    lane.evidence.forget()
    if (error.ckrClass === 'SESSION') return fault('INTERNAL', 'replace', error.message, error) // FM-F18
    if (error.ckrClass !== 'DEVICE') return laneErrorOf(error)
    yield* lane.evidence.assertCanary(lease)
    // The token works: one call failed, and another lane may do it (FM-R7).
    return fault('DEVICE_GONE', 'keep', error.message, error)
  } catch (worse) {
    return laneErrorOf(worse)
  }
}

/** The canary and the key's own proof work: on decrypt it is the ciphertext, elsewhere nobody knows. */
function blamed(error: unknown, call: LaneCall): LaneError {
  const what = error instanceof Error ? error.message : String(error)
  return call === 'decrypt'
    ? fault('CIPHERTEXT_REJECTED', 'keep', `${what}; canary and birth proof work`, error)
    : fault('INTERNAL', 'keep', `${what}, although canary and birth proof work`, error)
}

// ── handles ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The handles of a material; at first use each is asked who it is, and together they must open the birth proof (FM-R5). */
export function* provenKeys(
  lane: LaneState,
  lease: Lease,
  material: MaterialUse,
): Steps<SchemeKeys> {
  const entries = material.objectIds.map((id) => lane.index.only(id))
  if (entries.every(({ provenFor }) => provenFor === material.materialId)) return entries.map(inUse)
  assertIdentity(lease, material, entries)
  for (const entry of entries) lane.copies.make(entry, material.foreign)
  const keys = entries.map(inUse)
  yield* assertOpens(lane, lease, material, keys) // with the copies: so they are proven, too
  for (const entry of entries) entry.provenFor = material.materialId
  return keys
}

/** A handle that now names something else would encrypt under a wrong key (FM-F08). */
function assertIdentity(
  { session }: Lease,
  { scheme, objectIds }: MaterialUse,
  entries: readonly IndexedKey[],
): void {
  const expected = AEAD_SCHEMES[scheme].objects
  if (entries.length !== expected.length)
    throw new TypeError(`${scheme} has ${expected.length} objects, not ${entries.length}`)
  for (const [i, { handle }] of entries.entries()) {
    const [objectClass, keyType, id] = session.attributes(handle, [CKA.CLASS, CKA.KEY_TYPE, CKA.ID])
    const isIt =
      objectClass !== undefined &&
      keyType !== undefined &&
      ulongOf(objectClass) === CKO.SECRET_KEY &&
      ulongOf(keyType) === CKK[expected[i]?.keyType ?? 'AES'] &&
      id?.toString('hex') === objectIds[i]
    if (!isIt)
      throw fault('KEY_UNAVAILABLE', 'recover', `a handle no longer names key ${objectIds[i]}`)
  }
}

function* assertOpens(
  lane: LaneState,
  lease: Lease,
  material: MaterialUse,
  keys: SchemeKeys,
): Steps<void> {
  let opens = false
  try {
    opens = yield* opensBirthProof(lane.aead, lease.session, keys, material)
  } catch (error) {
    if (!isAmbiguous(error)) throw error
  }
  if (opens) return
  yield* lane.evidence.assertCanary(lease)
  yield* lane.evidence.assertProof(lease, material) // throws; or the first failure was the token's, and it is over
  if (lease.session.tainted) lease.renew()
}
