import { CustodyError } from '../crypto/custody-error.ts'
import { CKA, CKO } from '../pkcs11/attribute.ts'
import { hmacSha256 } from '../pkcs11/mechanism.ts'
import type { ObjectHandle, Session } from '../pkcs11/session.ts'
import { dataObjectTemplate } from '../pkcs11/template.ts'
import type { MaterialPlan } from '../crypto/key-custody.ts'
import { fault } from './lane-fault.ts'
import type { ListedRecord, OwnerRecord, RecordRequest } from './lane-protocol.ts'
import type { LaneState } from './lane-state.ts'
import {
  type DecodedTokenRecord,
  encodeTokenRecord,
  findTokenRecord,
  type RecordMac,
  type TokenRecord,
} from './token-record.ts'

const APPLICATION = 'hsm-bridge'
const OWNER_LABEL = 'hsm-bridge:owner'
const RECORD_LABEL = 'hsm-bridge:record:'
const MAC_BYTES = 32

/** A data object of ours. `decoded` is undefined where its bytes are no record. */
export interface FoundRecord {
  readonly handle: ObjectHandle
  readonly label: string
  readonly value: Buffer
  readonly decoded: DecodedTokenRecord | undefined
}

/** Writes the record of a material: once, right after the material was made. */
export function writeRecord(lane: LaneState, session: Session, request: RecordRequest): void {
  const { kind, material, origin } = request
  const value = encode(lane, session, { kind, material, origin })
  create(lane, session, recordLabel(lane, material.materialId), value)
}

/** Our own records in the token, authentic or not, but for the owner's. */
export function listRecords(lane: LaneState, session: Session): ListedRecord[] {
  return findRecords(lane, session)
    .filter(({ label }) => label.startsWith(RECORD_LABEL))
    .map(({ label, decoded }) => {
      if (!decoded || decoded.record.kind === 'owner') return { label, authentic: false }
      const { kind, material, origin } = decoded.record
      return { label, authentic: decoded.authentic, kind, material, origin }
    })
}

/** Destroys the records of one material, whatever their state. Answers how many. */
export function destroyRecords(lane: LaneState, session: Session, materialId: string): number {
  const records = recordsOf(lane, session, materialId)
  for (const { handle } of records) session.destroyObject(handle)
  if (recordsOf(lane, session, materialId).length > 0)
    throw fault('TOKEN_LIED', 'keep', `a record of material ${materialId} is still there`)
  return records.length
}

/** CKA_IDs of a plan that are somebody else's keys: whoever forgets to say so is reminded by the record. */
export function foreignIdsOf(
  lane: LaneState,
  session: Session,
  plan: MaterialPlan,
): ReadonlySet<string> {
  const records = lane.aead.profile.dataObjects ? recordsOf(lane, session, plan.materialId) : []
  const recorded = records.flatMap(({ decoded }) =>
    decoded?.authentic && decoded.record.kind !== 'owner' ? decoded.record.material.objects : [],
  )
  const foreign = [...plan.objects, ...recorded].filter((object) => object.foreign)
  return new Set(foreign.map(({ id }) => id))
}

/** The authentic owner record with the highest lineage: a replayed older one does not win. */
export function findOwner(lane: LaneState, session: Session): OwnerRecord | undefined {
  let newest: OwnerRecord | undefined
  for (const { decoded } of ownerRecords(lane, session)) {
    if (!decoded?.authentic || decoded.record.kind !== 'owner') continue
    const { owner } = decoded.record
    if (!newest || owner.lineage > newest.lineage) newest = owner
  }
  return newest
}

/** Writes a new owner record first and then removes the older ones, so that at every moment one can be read. */
export function claimToken(lane: LaneState, session: Session, owner: OwnerRecord): void {
  const older = ownerRecords(lane, session)
  const value = encode(lane, session, { kind: 'owner', owner })
  if (!older.some((record) => record.value.equals(value))) create(lane, session, OWNER_LABEL, value)
  for (const record of older) if (!record.value.equals(value)) session.destroyObject(record.handle)
}

function ownerRecords(lane: LaneState, session: Session): FoundRecord[] {
  return findRecords(lane, session, OWNER_LABEL)
}

function recordsOf(lane: LaneState, session: Session, materialId: string): FoundRecord[] {
  const label = recordLabel(lane, materialId)
  const found = findRecords(lane, session, label)
  if (label.length === RECORD_LABEL.length + materialId.length) return found
  // A label that was cut may in theory stand for two materials: then the record itself decides.
  return found.filter(
    ({ decoded }) =>
      !decoded ||
      decoded.record.kind === 'owner' ||
      decoded.record.material.materialId === materialId,
  )
}

function findRecords(lane: LaneState, session: Session, label?: string): FoundRecord[] {
  const mac = findMac(lane, session)
  const handles = session.find([
    { type: CKA.CLASS, value: CKO.DATA },
    { type: CKA.APPLICATION, value: APPLICATION },
    ...(label === undefined ? [] : [{ type: CKA.LABEL, value: label }]),
  ])
  return handles.map((handle) => {
    const [label, value = Buffer.alloc(0)] = session.findAttributes(handle, [CKA.LABEL, CKA.VALUE])
    return {
      handle,
      label: label?.toString('utf8') ?? '',
      value,
      decoded: findTokenRecord(value, mac),
    }
  })
}

function create(lane: LaneState, session: Session, label: string, value: Buffer): void {
  session.createObject(
    dataObjectTemplate({ label, application: APPLICATION, value }, lane.aead.profile),
  )
}

function encode(lane: LaneState, session: Session, record: TokenRecord): Buffer {
  const { dataObjects, maxDataBytes } = lane.aead.profile
  if (!dataObjects)
    throw new CustodyError('UNSUPPORTED', 'this token keeps no data objects (profile dataObjects)')
  const mac = findMac(lane, session)
  if (!mac) throw new CustodyError('KEY_UNAVAILABLE', 'this token has no record key yet')
  const value = encodeTokenRecord(record, mac)
  if (value.length > maxDataBytes)
    throw new CustodyError('UNSUPPORTED', `a record of ${value.length} bytes is too long for it`)
  return value
}

function findMac(lane: LaneState, session: Session): RecordMac | undefined {
  if (!lane.anchors) return undefined
  const { handle } = lane.index.only(lane.anchors.recordKeyId)
  return (input) => session.sign(hmacSha256(lane.aead.profile), handle, input, MAC_BYTES)
}

/** Small devices take 40 bytes of label: 22 digits of a random id still tell materials apart. */
function recordLabel({ aead: { profile } }: LaneState, materialId: string): string {
  return `${RECORD_LABEL}${materialId}`.slice(0, profile.maxLabelBytes)
}
