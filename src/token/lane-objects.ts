import { AEAD_SCHEMES, type SchemeObject } from '../crypto/aead-scheme.ts'
import type { MaterialPlan, TokenObjectName } from '../crypto/key-custody.ts'
import { CKA, CKK, CKO, ulongOf } from '../pkcs11/attribute.ts'
import { findObjects } from '../pkcs11/find-object.ts'
import { aesKeyGen, genericSecretKeyGen } from '../pkcs11/mechanism.ts'
import type { ObjectHandle, Session } from '../pkcs11/session.ts'
import {
  assertNeverLeaves,
  type KeyUse,
  readBackCustodyAttributes,
  secretKeyTemplate,
} from '../pkcs11/template.ts'
import { makeBirthProof, opensBirthProof } from './birth-proof.ts'
import { isAmbiguous } from './evidence.ts'
import { fault } from './lane-fault.ts'
import {
  type DestroyReply,
  type GenerateReply,
  type GenerateRequest,
  type ListedObject,
  type MaterialJson,
  materialFromJson,
  RECORD_KEY_LABEL,
  type ShownObject,
  type ShowReply,
} from './lane-protocol.ts'
import { destroyRecords, foreignIdsOf } from './lane-records.ts'
import { type LaneState, materialUse } from './lane-state.ts'
import type { Steps } from './lane-steps.ts'
import type { Lease } from './lane-token.ts'

const RECORD_KEY: SchemeObject = { role: 'mac', keyType: 'GENERIC_SECRET', valueBytes: 32 }

/** A search shows two objects at a time; more copies than this nobody makes, and a token that lies never ends. */
const MOST_ROUNDS = 16

const USES_OF_ROLE = {
  cipher: ['ENCRYPT', 'DECRYPT'],
  mac: ['SIGN', 'VERIFY'],
} as const satisfies Record<SchemeObject['role'], readonly KeyUse[]>

// ── generate ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Makes the objects of a plan and their birth proof; with `recordKeyId` also the key that signs records. */
export function* generate(
  lane: LaneState,
  lease: Lease,
  { plan, label, recordKeyId }: GenerateRequest,
): Steps<GenerateReply> {
  const keys = plan.objects.map(({ id, foreign }, i) => {
    if (foreign) throw new TypeError(`${id} is somebody else's key: adopted, never made`)
    const object = AEAD_SCHEMES[plan.scheme].objects[i]
    if (!object) throw new TypeError(`${plan.scheme} has no object number ${i}`)
    return makeKey(lane, lease.session, id, label, object)
  })
  const { materialId, scheme } = plan
  const use = { materialId, scheme, objectIds: plan.objects.map(({ id }) => id) }
  const proof = yield* makeBirthProof(lane.aead, lease.session, keys, use)
  if (recordKeyId !== undefined) {
    makeKey(lane, lease.session, recordKeyId, RECORD_KEY_LABEL, RECORD_KEY)
    lane.anchors = { canary: { ...plan, proof }, recordKeyId }
  }
  return { proof: proof.toString('base64') }
}

/**
 * A new key with this CKA_ID. The id is random and no plan is carried out twice (FM-R7), so nothing is searched for first:
 * that would take 300 ms at 10,000 keys. What the token says about the key afterwards decides (ARCH-D6).
 */
function makeKey(
  lane: LaneState,
  session: Session,
  id: string,
  label: string,
  object: SchemeObject,
): ObjectHandle {
  const { profile } = lane.aead
  const { keyType, valueBytes, role } = object
  if (lane.index.has(id)) throw fault('KEY_AMBIGUOUS', 'keep', `the token has a key ${id} already`)
  const mechanism = keyType === 'AES' ? aesKeyGen(profile) : genericSecretKeyGen(profile)
  const options = { id, label, keyType, valueBytes, uses: USES_OF_ROLE[role] }
  const handle = session.generateKey(mechanism, secretKeyTemplate(options, profile))
  const attributes = readBackCustodyAttributes(session, handle, profile)
  try {
    assertNeverLeaves(attributes)
  } catch (lie) {
    session.destroyObject(handle) // made a moment ago, used for nothing
    throw lie
  }
  lane.index.add(id, handle)
  return handle
}

// ── destroy ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Destroys the objects of a plan, then its record. Believes an absence only while the canary works (FM-F25, FM-R6). A key that the
 * plan, or the record in the token, calls foreign stays.
 */
export function* destroy(lane: LaneState, lease: Lease, plan: MaterialPlan): Steps<DestroyReply> {
  let destroyed = 0
  const foreign = foreignIdsOf(lane, lease.session, plan)
  for (const name of plan.objects) {
    if (foreign.has(name.id)) continue
    destroyed += destroyAll(lease.session, name)
    lane.index.drop(name.id)
  }
  if (lane.aead.profile.dataObjects)
    destroyed += destroyRecords(lane, lease.session, plan.materialId)
  yield* lane.evidence.assertCanary(lease)
  return { destroyed }
}

/** Every object of the name: a copy that somebody made of a deleted key must not outlive it. */
function destroyAll(session: Session, { id, keyType }: TokenObjectName): number {
  let destroyed = 0
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    // Asked again after every round: SoftHSM2 (#903) may drop a handle whose file remains.
    const found = findObjects(session, { id, class: 'SECRET_KEY', keyType })
    if (found.length === 0) return destroyed
    for (const handle of found) session.destroyObject(handle)
    destroyed += found.length
  }
  throw fault('TOKEN_LIED', 'keep', `key ${id} does not go away`)
}

// ── list and show ────────────────────────────────────────────────────────────────────────────────────────────────────

const CLASS_NAMES = new Map<number, ListedObject['class']>([
  [CKO.SECRET_KEY, 'SECRET_KEY'],
  [CKO.DATA, 'DATA'],
])
const KEY_TYPE_NAMES = new Map<number, string>(
  Object.entries(CKK).map(([name, number]) => [number, name]),
)

/** Every object in the token, also what lacks label, id or class: leftovers of an interrupted write do (FM-F22). */
export function listObjects(session: Session): ListedObject[] {
  return session.find([]).map((handle) => {
    const [objectClass, label] = session.findAttributes(handle, [CKA.CLASS, CKA.LABEL])
    const className = (objectClass && CLASS_NAMES.get(ulongOf(objectClass))) ?? 'OTHER'
    // Data objects have neither of the other two, and asking for what is not there costs a call each.
    const rest = className === 'DATA' ? [] : session.findAttributes(handle, [CKA.ID, CKA.KEY_TYPE])
    const [id, keyType] = rest
    return {
      class: className,
      id: id?.toString('hex') ?? '',
      label: label?.toString('utf8') ?? '',
      ...(keyType && { keyType: keyTypeName(keyType) }),
    }
  })
}

/** How each shown attribute is read. */
const SHOWN = {
  class: { type: CKA.CLASS, read: (v) => CLASS_NAMES.get(ulongOf(v)) ?? ulongOf(v) },
  keyType: { type: CKA.KEY_TYPE, read: keyTypeName },
  label: { type: CKA.LABEL, read: (v) => v.toString('utf8') },
  token: { type: CKA.TOKEN, read: booleanOf },
  private: { type: CKA.PRIVATE, read: booleanOf },
  sensitive: { type: CKA.SENSITIVE, read: booleanOf },
  extractable: { type: CKA.EXTRACTABLE, read: booleanOf },
  local: { type: CKA.LOCAL, read: booleanOf },
  alwaysSensitive: { type: CKA.ALWAYS_SENSITIVE, read: booleanOf },
  neverExtractable: { type: CKA.NEVER_EXTRACTABLE, read: booleanOf },
} as const satisfies Record<
  string,
  { type: number; read: (value: Buffer) => boolean | number | string }
>

/** What the token says now about a material's objects, found now, and whether they open its birth proof now. */
export function* show(lane: LaneState, lease: Lease, material: MaterialJson): Steps<ShowReply> {
  const found = material.objects.map(({ id, keyType }) =>
    findObjects(lease.session, { id, class: 'SECRET_KEY', keyType }),
  )
  const objects = material.objects.map((name, i) =>
    shownObject(lease.session, name, found[i] ?? []),
  )
  const tokenSerial = lane.token.info.serial
  return { tokenSerial, objects, proofHolds: yield* proofHolds(lane, lease, material, found) }
}

function shownObject(
  session: Session,
  { role, id }: TokenObjectName,
  found: readonly ObjectHandle[],
): ShownObject {
  const [handle] = found
  if (!handle) return { role, id, found: 0, attributes: {} }
  const attributes: Record<string, boolean | number | string> = {}
  for (const [name, { type, read }] of Object.entries(SHOWN)) {
    const value = session.findAttribute(handle, type)
    if (value) attributes[name] = read(value)
  }
  return {
    role,
    id,
    found: found.length,
    handle: handle.toString('hex'),
    attributes,
    ...(typeof attributes.label === 'string' && { label: attributes.label }),
  }
}

function* proofHolds(
  lane: LaneState,
  lease: Lease,
  json: MaterialJson,
  found: readonly ObjectHandle[][],
): Steps<boolean> {
  const keys = found.flatMap((handles) => (handles.length === 1 ? handles : []))
  if (keys.length === json.objects.length) {
    const use = materialUse(materialFromJson(json))
    try {
      if (yield* opensBirthProof(lane.aead, lease.session, keys, use)) return true
    } catch (error) {
      if (!isAmbiguous(error)) throw error
    }
  }
  yield* lane.evidence.assertCanary(lease) // "it does not hold" is blame, too (ARCH-D10)
  return false
}

function keyTypeName(value: Buffer): string {
  const number = ulongOf(value)
  return KEY_TYPE_NAMES.get(number) ?? `0x${number.toString(16)}`
}

function booleanOf(value: Buffer): boolean {
  return value.length === 1 && value[0] !== 0
}
