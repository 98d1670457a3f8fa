import type { AeadSchemeName } from '../crypto/aead-scheme.ts'
import { AEAD_SCHEMES, findAeadScheme } from '../crypto/aead-scheme.ts'
import type { CustodyErrorCode } from '../crypto/custody-error.ts'
import type {
  Material,
  MaterialOrigin,
  MaterialPlan,
  Sealed,
  VerifiedSealed,
} from '../crypto/key-custody.ts'
import { FieldReader, fields } from '../bytes/fields.ts'
import type { VendorProfile } from '../pkcs11/vendor-profile.ts'

/**
 * What the front process and a lane say to each other (ARCH-D1): frames over the unix socket that the lane inherits as
 * file descriptor 3. Calls that use keys are binary; calls that make, find and destroy are rare and carry JSON.
 *
 * request frame : length u32 | id u32 | call u8  | deadline f64 (epoch ms) | payload
 * response frame: length u32 | id u32 | status u8                          | payload
 * `length` counts everything behind itself; numbers are big-endian.
 */
export const REQUEST_HEADER_BYTES = 4 + 4 + 1 + 8
export const RESPONSE_HEADER_BYTES = 4 + 4 + 1

/** Which deadline a call runs under (ARCH-D2). */
export type CallClass = 'use' | 'find' | 'survey' | 'write'

interface CallRow {
  readonly number: number
  readonly class: CallClass
  /** Safe to repeat on another lane, because nothing in the token changes. */
  readonly idempotent: boolean
}

export const LANE_CALLS = {
  start: { number: 1, class: 'write', idempotent: false }, // load, log in, index, canary
  encrypt: { number: 2, class: 'use', idempotent: true },
  decrypt: { number: 3, class: 'use', idempotent: true },
  encryptRandom: { number: 4, class: 'use', idempotent: true },
  random: { number: 5, class: 'use', idempotent: true },
  health: { number: 6, class: 'use', idempotent: true }, // canary now, never cached
  learn: { number: 7, class: 'find', idempotent: true }, // index what is new in the token
  prove: { number: 8, class: 'find', idempotent: true }, // open a birth proof
  recover: { number: 9, class: 'write', idempotent: true }, // fresh sessions, login, index, canary
  generate: { number: 10, class: 'write', idempotent: false },
  record: { number: 11, class: 'write', idempotent: false },
  destroy: { number: 12, class: 'write', idempotent: false },
  list: { number: 13, class: 'survey', idempotent: true }, // reads every object: seconds at 10,000 keys
  show: { number: 14, class: 'find', idempotent: true },
  owner: { number: 15, class: 'write', idempotent: false },
  forget: { number: 16, class: 'find', idempotent: true }, // keys that were destroyed, and their session copies
  encryptVerified: { number: 17, class: 'use', idempotent: true },
  adopt: { number: 18, class: 'survey', idempotent: true }, // looks at somebody's key, and at every record; writes nothing
  warm: { number: 19, class: 'find', idempotent: true }, // prove keys ahead of their use
} as const satisfies Record<string, CallRow>

export type LaneCall = keyof typeof LANE_CALLS

const CALL_BY_NUMBER = new Map<number, LaneCall>(
  Object.entries(LANE_CALLS).map(([name, row]) => [row.number, name as LaneCall]),
)

export function findLaneCall(number: number): LaneCall | undefined {
  return CALL_BY_NUMBER.get(number)
}

// ── start, and the JSON calls ────────────────────────────────────────────────────────────────────────────────────────

/** Everything a lane must be told; it reads no file and no environment of ours. */
export interface StartRequest {
  readonly modulePath: string
  /** C_Initialize's pReserved string, for modules that take one. */
  readonly libraryParameters?: string
  readonly tokenSerial: string
  readonly pin: string
  readonly profile: VendorProfile
  readonly role: 'hot' | 'cold'
  /** Absent only while `token init` makes them. */
  readonly anchors?: TokenAnchors
  /** Where a lane keeps its copy of files that a login rewrites (profile `loginRewritesFiles`). */
  readonly guardDirectory: string
}

/** The objects that `token init` makes once per token: the canary, and the key that authenticates records. */
export interface TokenAnchors {
  readonly canary: Material
  /** CKA_ID in hex of the generic secret that signs records (HMAC-SHA-256). */
  readonly recordKeyId: string
}

/** How CKA_LABEL begins in everything that we make. */
export const OUR_LABEL = 'hsm-bridge:'
/** CKA_LABEL of the key that signs records. */
export const RECORD_KEY_LABEL = `${OUR_LABEL}records`

export interface StartReply {
  readonly pid: number
  readonly objects: number
  readonly token: {
    readonly label: string
    readonly serial: string
    readonly manufacturer: string
    readonly model: string
    /** Versions, `major.minor`. */
    readonly hardware: string
    readonly firmware: string
  }
  /** Set when a truncated token file was put back from the lane's copy before the login. */
  readonly restoredFiles: readonly string[]
}

export interface GenerateRequest {
  readonly plan: MaterialPlan
  /** CKA_LABEL of every object. */
  readonly label: string
  /** 'anchors' makes the record key too: `token init` only. */
  readonly recordKeyId?: string
}
export interface GenerateReply {
  /** The birth proof, base64. */
  readonly proof: string
}

export interface RecordRequest {
  readonly kind: 'material' | 'canary'
  readonly material: MaterialJson
  readonly origin: MaterialOrigin
}

/** CKA_ID in hex, CKA_LABEL, or both: then both must fit. */
export interface AdoptedName {
  readonly id?: string
  readonly label?: string
}

export interface AdoptRequest {
  readonly name: AdoptedName
  /** Drawn by the front. */
  readonly materialId: string
  /** Takes a key that the token did not make, or that was once outside, or of which the token will not say. */
  readonly acceptImported: boolean
}
/** What the token says about the past of a key; a field is absent where it says nothing. */
export interface KeyHistory {
  readonly local?: boolean
  readonly alwaysSensitive?: boolean
  readonly neverExtractable?: boolean
}
export interface AdoptReply {
  readonly material: MaterialJson
  readonly label: string
  readonly history: KeyHistory
}

export interface OwnerRecord {
  readonly instanceId: string
  readonly lineage: number
}
/** `claim` writes an owner record (a new object, then the old ones go); without it the call only reads. */
export interface OwnerRequest {
  readonly claim?: OwnerRecord
}
export interface OwnerReply {
  readonly owner: OwnerRecord | undefined
}

export interface DestroyRequest {
  readonly plan: MaterialPlan
}
export interface DestroyReply {
  readonly destroyed: number
}

export interface WarmRequest {
  readonly materials: readonly MaterialJson[]
}

export interface ForgetRequest {
  /** CKA_ID in hex. */
  readonly objectIds: readonly string[]
}

/** One object of ours or of anybody else's, as `list` and `show` read it live. */
export interface ListedObject {
  readonly class: 'SECRET_KEY' | 'DATA' | 'OTHER'
  readonly id: string
  readonly label: string
  readonly keyType?: string
}
/** A record that was found in the token. `authentic` is false when its MAC does not fit. */
export interface ListedRecord {
  readonly label: string
  readonly authentic: boolean
  readonly kind?: 'material' | 'canary'
  readonly material?: MaterialJson
  readonly origin?: MaterialOrigin
}
export interface ListReply {
  readonly objects: readonly ListedObject[]
  readonly records: readonly ListedRecord[]
  readonly owner: OwnerRecord | undefined
}

export interface ShowRequest {
  readonly material: MaterialJson
}
export interface ShownObject {
  readonly role: 'cipher' | 'mac'
  readonly id: string
  readonly found: number
  readonly label?: string
  readonly handle?: string
  readonly attributes: Readonly<Record<string, boolean | number | string>>
}
export interface ShowReply {
  readonly tokenSerial: string
  readonly objects: readonly ShownObject[]
  readonly proofHolds: boolean
}

export interface LearnReply {
  readonly objects: number
}

export interface ProveRequest {
  readonly material: MaterialJson
}

/** A Material as JSON: its proof in base64. */
export type MaterialJson = MaterialPlan & { readonly proof: string }

export function materialToJson(material: Material): MaterialJson {
  const { materialId, scheme, objects } = material
  return { materialId, scheme, objects, proof: material.proof.toString('base64') }
}

export function materialFromJson(json: MaterialJson): Material {
  const { materialId, scheme, objects } = json
  return { materialId, scheme, objects, proof: Buffer.from(json.proof, 'base64') }
}

// ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export const STATUS_OK = 0
export const STATUS_ERROR = 1

/**
 * What the front should do with the lane after an error: `keep` it; send it to `recover` (handles or login are stale, the
 * call was not executed, another lane may answer); `learn` (the key is not in its index); or `replace` the process.
 */
export type LaneAdvice = 'keep' | 'recover' | 'learn' | 'replace'

export interface LaneErrorReply {
  readonly code: CustodyErrorCode
  readonly message: string
  readonly ckr?: number
  readonly call?: string
  readonly advice: LaneAdvice
}

// ── the binary calls ─────────────────────────────────────────────────────────────────────────────────────────────────

/** What a use call tells a lane about the material: enough to find its objects and to check its proof. */
export interface MaterialUse {
  /** Part of the proof's associated data. */
  readonly materialId: string
  readonly scheme: AeadSchemeName
  /** CKA_IDs in hex, in the order of the scheme's objects. */
  readonly objectIds: readonly string[]
  readonly proof: Buffer
  /** Somebody else's key that was adopted. */
  readonly foreign?: boolean
}

const encodedMaterials = new WeakMap<Material, Buffer>()

/** id (u8-sized) | scheme u8 | foreign u8 | count u8 | object ids (u8) | proof (u16). Encoded once per Material. */
function materialBytes(material: Material): Buffer {
  let bytes = encodedMaterials.get(material)
  if (!bytes) {
    const builder = fields()
      .sized(1, Buffer.from(material.materialId, 'hex'))
      .number(1, AEAD_SCHEMES[material.scheme].id)
      .number(1, isForeign(material) ? 1 : 0)
      .number(1, material.objects.length)
    for (const object of material.objects) builder.sized(1, Buffer.from(object.id, 'hex'))
    bytes = builder.sized(2, material.proof).bytes()
    encodedMaterials.set(material, bytes)
  }
  return bytes
}

function readMaterialUse(reader: FieldReader): MaterialUse {
  const materialId = reader.sized(1).toString('hex')
  const scheme = findAeadScheme(reader.number(1))
  if (!scheme) throw new TypeError('the frame names an unknown AEAD scheme')
  const foreign = reader.number(1) === 1
  const count = reader.number(1)
  const objectIds: string[] = []
  for (let i = 0; i < count; i++) objectIds.push(reader.sized(1).toString('hex'))
  return { materialId, scheme, foreign, objectIds, proof: reader.sized(2) }
}

/** Whether the material is a key that we have adopted and not made. */
export function isForeign({ objects }: MaterialPlan): boolean {
  return objects.some(({ foreign }) => foreign === true)
}

export interface EncryptCall {
  readonly material: MaterialUse
  readonly aad: Buffer
  readonly plaintext: Buffer
}
export interface DecryptCall {
  readonly material: MaterialUse
  readonly aad: Buffer
  readonly sealed: Sealed
}
export interface EncryptVerifiedCall extends EncryptCall {
  readonly digestPrefix: Buffer
}
export interface EncryptRandomCall {
  readonly material: MaterialUse
  readonly aad: Buffer
  readonly bytes: number
}

export const encryptCall = {
  write: (material: Material, plaintext: Buffer, aad: Buffer): Buffer[] => [
    materialBytes(material),
    fields().sized(4, aad).sized(4, plaintext).bytes(),
  ],
  read: (payload: Buffer): EncryptCall => {
    const reader = new FieldReader(payload)
    return { material: readMaterialUse(reader), aad: reader.sized(4), plaintext: reader.sized(4) }
  },
}

export const decryptCall = {
  write: (material: Material, sealed: Sealed, aad: Buffer): Buffer[] => [
    materialBytes(material),
    fields().sized(4, aad).sized(1, sealed.iv).sized(4, sealed.ciphertext).bytes(),
  ],
  read: (payload: Buffer): DecryptCall => {
    const reader = new FieldReader(payload)
    return {
      material: readMaterialUse(reader),
      aad: reader.sized(4),
      sealed: { iv: reader.sized(1), ciphertext: reader.sized(4) },
    }
  },
}

export const encryptVerifiedCall = {
  write: (material: Material, plaintext: Buffer, aad: Buffer, digestPrefix: Buffer): Buffer[] => [
    materialBytes(material),
    fields().sized(4, aad).sized(4, plaintext).sized(4, digestPrefix).bytes(),
  ],
  read: (payload: Buffer): EncryptVerifiedCall => {
    const reader = new FieldReader(payload)
    return {
      material: readMaterialUse(reader),
      aad: reader.sized(4),
      plaintext: reader.sized(4),
      digestPrefix: reader.sized(4),
    }
  },
}

export const encryptRandomCall = {
  write: (material: Material, bytes: number, aad: Buffer): Buffer[] => [
    materialBytes(material),
    fields().sized(4, aad).number(4, bytes).bytes(),
  ],
  read: (payload: Buffer): EncryptRandomCall => {
    const reader = new FieldReader(payload)
    return { material: readMaterialUse(reader), aad: reader.sized(4), bytes: reader.number(4) }
  },
}

export const randomCall = {
  write: (bytes: number): Buffer[] => [fields().number(4, bytes).bytes()],
  read: (payload: Buffer): number => new FieldReader(payload).number(4),
}

/** Reply of encryptVerified: iv (u8-sized) | ciphertext (u32-sized) | digest (u8-sized). */
export const verifiedReply = {
  write: ({ iv, ciphertext, digest }: VerifiedSealed): Buffer =>
    fields().sized(1, iv).sized(4, ciphertext).sized(1, digest).bytes(),
  read: (payload: Buffer): VerifiedSealed => {
    const reader = new FieldReader(payload)
    return { iv: reader.sized(1), ciphertext: reader.sized(4), digest: reader.sized(1) }
  },
}

/** Reply of encrypt: iv (u8-sized) | ciphertext (u32-sized). Reply of encryptRandom: the same, then plaintext (u32-sized). */
export const sealedReply = {
  write: (sealed: Sealed, plaintext?: Buffer): Buffer => {
    const builder = fields().sized(1, sealed.iv).sized(4, sealed.ciphertext)
    return (plaintext ? builder.sized(4, plaintext) : builder).bytes()
  },
  read: (payload: Buffer): Sealed => {
    const reader = new FieldReader(payload)
    return { iv: reader.sized(1), ciphertext: reader.sized(4) }
  },
  readWithPlaintext: (payload: Buffer): Sealed & { plaintext: Buffer } => {
    const reader = new FieldReader(payload)
    return { iv: reader.sized(1), ciphertext: reader.sized(4), plaintext: reader.sized(4) }
  },
}
