import { CKA, CKK, CKO, ulongOf } from '../pkcs11/attribute.ts'
import type { ObjectHandle, Session } from '../pkcs11/session.ts'
import { idBytes } from '../pkcs11/template.ts'
import { makeBirthProof } from './birth-proof.ts'
import type { LaneError } from './lane-error.ts'
import { fault } from './lane-fault.ts'
import {
  type AdoptedName,
  type AdoptReply,
  type AdoptRequest,
  type KeyHistory,
  OUR_LABEL,
} from './lane-protocol.ts'
import { listRecords } from './lane-records.ts'
import type { LaneState } from './lane-state.ts'
import type { Steps } from './lane-steps.ts'
import type { Lease } from './lane-token.ts'

const SCHEME = 'AES_GCM'

/** What a key of somebody else must be, read live, before we encrypt anything with it (ARCH-D6, XKS G-01). */
const REQUIRED = [
  { name: 'CKA_CLASS', type: CKA.CLASS, must: CKO.SECRET_KEY },
  { name: 'CKA_KEY_TYPE', type: CKA.KEY_TYPE, must: CKK.AES },
  { name: 'CKA_VALUE_LEN', type: CKA.VALUE_LEN, must: 32 },
  { name: 'CKA_TOKEN', type: CKA.TOKEN, must: true },
  { name: 'CKA_PRIVATE', type: CKA.PRIVATE, must: true },
  { name: 'CKA_SENSITIVE', type: CKA.SENSITIVE, must: true },
  { name: 'CKA_EXTRACTABLE', type: CKA.EXTRACTABLE, must: false },
  { name: 'CKA_ENCRYPT', type: CKA.ENCRYPT, must: true },
  { name: 'CKA_DECRYPT', type: CKA.DECRYPT, must: true },
] as const

/** What may be otherwise where the operator accepts a key that was imported long ago. */
const HISTORY = [
  { field: 'local', name: 'CKA_LOCAL', type: CKA.LOCAL },
  { field: 'alwaysSensitive', name: 'CKA_ALWAYS_SENSITIVE', type: CKA.ALWAYS_SENSITIVE },
  { field: 'neverExtractable', name: 'CKA_NEVER_EXTRACTABLE', type: CKA.NEVER_EXTRACTABLE },
] as const

/**
 * Finds one AES-256 key that is not ours, looks at everything that it says about itself, and makes a birth proof with it. Changes
 * nothing in the token. Throws KEY_UNAVAILABLE for none, KEY_AMBIGUOUS for two, KEY_USAGE with the reason for one that will not do.
 */
export function* adopt(lane: LaneState, lease: Lease, request: AdoptRequest): Steps<AdoptReply> {
  const { session } = lease
  const { materialId, acceptImported } = request
  const handle = yield* onlyKey(lane, lease, request.name)
  assertFits(session, handle)
  const [idValue, labelValue] = session.findAttributes(handle, [CKA.ID, CKA.LABEL])
  const id = idValue?.toString('hex') ?? ''
  const label = labelValue?.toString('utf8') ?? ''
  assertNameable(lane, session, id)
  assertNobodys(lane, session, id, label)
  const history = historyOf(lane, session, handle)
  if (!acceptImported) assertAlwaysInside(history)

  lane.index.add(id, handle)
  const use = { materialId, scheme: SCHEME, objectIds: [id] } as const
  const proof = yield* makeBirthProof(lane.aead, session, [handle], use)
  const tokenSerial = lane.token.info.serial
  const objects = [{ role: 'cipher', tokenSerial, keyType: 'AES', id, foreign: true }] as const
  const material = { materialId, scheme: SCHEME, objects, proof: proof.toString('base64') } as const
  return { material, label, history }
}

// ── which key ────────────────────────────────────────────────────────────────────────────────────────────────────────

function* onlyKey(lane: LaneState, lease: Lease, name: AdoptedName): Steps<ObjectHandle> {
  const found = lease.session.find(
    [
      ...keysOfToken(),
      { type: CKA.KEY_TYPE, value: CKK.AES },
      ...(name.id === undefined ? [] : [{ type: CKA.ID, value: idBytes(name.id) }]),
      ...(name.label === undefined ? [] : [{ type: CKA.LABEL, value: name.label }]),
    ],
    2, // so that it sees a double (ARCH-D5)
  )
  const [only] = found
  if (!only) {
    yield* lane.evidence.assertCanary(lease) // "it is not there" is believed on evidence only (ARCH-D10)
    throw fault('KEY_UNAVAILABLE', 'keep', `the token shows no AES key with ${nameText(name)}`)
  }
  if (found.length > 1)
    throw fault('KEY_AMBIGUOUS', 'keep', `several AES keys have ${nameText(name)}`)
  return only
}

/** Handles are found again by CKA_ID alone, and we never change somebody's object. */
function assertNameable(lane: LaneState, session: Session, id: string): void {
  if (id === '')
    throw refused(
      'its CKA_ID is empty, by which it is to be found; set one with the tool that made it',
    )
  const { maxIdBytes } = lane.aead.profile
  if (id.length / 2 > maxIdBytes)
    throw refused(`its CKA_ID is longer than ${maxIdBytes} bytes (profile maxIdBytes)`)
  const sameId = session.find([...keysOfToken(), { type: CKA.ID, value: idBytes(id) }], 2)
  if (sameId.length !== 1)
    throw fault('KEY_AMBIGUOUS', 'keep', `several secret keys have the CKA_ID ${id}`)
}

/** One object is one material: a second one would count its encryptions apart from the first (ARCH-D7). */
function assertNobodys(lane: LaneState, session: Session, id: string, label: string): void {
  if (label.startsWith(OUR_LABEL))
    throw refused(`its CKA_LABEL ${label} says that hsm-bridge has made it`)
  for (const { material } of listRecords(lane, session))
    if (material?.objects.some((object) => object.id === id))
      throw refused(`it is the material ${material.materialId} already`)
}

// ── what it says about itself ────────────────────────────────────────────────────────────────────────────────────────

function assertFits(session: Session, handle: ObjectHandle): void {
  const values = session.findAttributes(
    handle,
    REQUIRED.map(({ type }) => type),
  )
  const misfits = REQUIRED.flatMap(({ name, must }, i) => {
    const value = valueOf(values[i], must)
    return value === must ? [] : [`${name} is ${value ?? 'not shown'} and must be ${must}`]
  })
  if (misfits.length > 0) throw refused(misfits.join('; '))
}

function historyOf(lane: LaneState, session: Session, handle: ObjectHandle): KeyHistory {
  if (!lane.aead.profile.reportsHistory) return {}
  const values = session.findAttributes(
    handle,
    HISTORY.map(({ type }) => type),
  )
  const rows = HISTORY.map(({ field }, i) => [field, valueOf(values[i], true)] as const)
  return Object.fromEntries(rows.filter(([, value]) => value !== undefined))
}

function assertAlwaysInside(history: KeyHistory): void {
  const doubts = HISTORY.filter(({ field }) => history[field] !== true).map(
    ({ field, name }) => `${name} is ${history[field] ?? 'not shown'}`,
  )
  if (doubts.length > 0)
    throw refused(
      `${doubts.join('; ')}: it may have been outside; --accept-imported takes it all the same`,
    )
}

/** Undefined where the token does not show it. */
function valueOf(value: Buffer | undefined, must: boolean | number): boolean | number | undefined {
  if (!value || value.length === 0) return undefined
  return typeof must === 'number' ? ulongOf(value) : value[0] !== 0
}

function keysOfToken() {
  return [
    { type: CKA.CLASS, value: CKO.SECRET_KEY },
    { type: CKA.TOKEN, value: true },
  ]
}

function nameText({ id, label }: AdoptedName): string {
  const parts = [
    ...(id === undefined ? [] : [`the CKA_ID ${id}`]),
    ...(label === undefined ? [] : [`the CKA_LABEL ${label}`]),
  ]
  return parts.join(' and ')
}

function refused(why: string): LaneError {
  return fault('KEY_USAGE', 'keep', `the key cannot be adopted: ${why}`)
}
