import { CustodyError } from '../crypto/custody-error.ts'
import type { Attribute, AttributeName, Template } from './attribute.ts'
import { CKA, CKK, CKO } from './attribute.ts'
import type { ObjectHandle, Session } from './session.ts'
import type { VendorProfile } from './vendor-profile.ts'

/** What a secret key may be used for; everything else is written down as forbidden. */
export type KeyUse = 'ENCRYPT' | 'DECRYPT' | 'SIGN' | 'VERIFY' | 'WRAP' | 'UNWRAP' | 'DERIVE'

// SoftHSM2 permits what a template does not mention, so every use is said, allowed or not.
const KEY_USES = ['ENCRYPT', 'DECRYPT', 'SIGN', 'VERIFY', 'WRAP', 'UNWRAP', 'DERIVE'] as const

export interface SecretKeyOptions {
  /** CKA_ID as hex or bytes. */
  readonly id: string | Buffer
  readonly label: string
  readonly keyType: 'AES' | 'GENERIC_SECRET'
  readonly valueBytes: number
  readonly uses: readonly KeyUse[]
}

type Limits = Pick<VendorProfile, 'omitAttributes'>

/** A secret key that stays in the token: TOKEN, PRIVATE, SENSITIVE, not EXTRACTABLE, and only the uses named (ARCH-D6). */
export function secretKeyTemplate(options: SecretKeyOptions, profile: Limits): Template {
  const uses = KEY_USES.map((use): Row => [use, options.uses.includes(use)])
  return withoutOmitted(profile, [
    ['CLASS', CKO.SECRET_KEY],
    ['KEY_TYPE', CKK[options.keyType]],
    ['TOKEN', true],
    ['PRIVATE', true],
    ['SENSITIVE', true],
    ['EXTRACTABLE', false],
    ['ID', idBytes(options.id)],
    ['LABEL', options.label],
    ['VALUE_LEN', options.valueBytes],
    ...uses,
  ])
}

export interface DataObjectOptions {
  readonly label: string
  readonly application: string
  readonly value: Buffer
}

/** A private data object that nobody may change afterwards: records are immutable (ARCH-D11). */
export function dataObjectTemplate(options: DataObjectOptions, profile: Limits): Template {
  return withoutOmitted(profile, [
    ['CLASS', CKO.DATA],
    ['TOKEN', true],
    ['PRIVATE', true],
    ['MODIFIABLE', false],
    ['LABEL', options.label],
    ['APPLICATION', options.application],
    ['VALUE', options.value],
  ])
}

type Row = readonly [AttributeName, Attribute['value']]

function withoutOmitted(profile: Limits, rows: readonly Row[]): Template {
  const omitted = new Set(profile.omitAttributes)
  return rows
    .filter(([name]) => !omitted.has(`CKA_${name}`))
    .map(([name, value]) => ({ type: CKA[name], value }))
}

export function idBytes(id: string | Buffer): Buffer {
  return typeof id === 'string' ? Buffer.from(id, 'hex') : id
}

/** What the token itself says about a key. History is absent where the profile says the token does not report it. */
export interface CustodyAttributes {
  readonly token: boolean
  readonly private: boolean
  readonly sensitive: boolean
  readonly extractable: boolean
  readonly local?: boolean
  readonly alwaysSensitive?: boolean
  readonly neverExtractable?: boolean
}

/** What each of them must be for a key that was made in the token. */
const NEVER_LEAVES = [
  { field: 'token', type: CKA.TOKEN, must: true, history: false },
  { field: 'private', type: CKA.PRIVATE, must: true, history: false },
  { field: 'sensitive', type: CKA.SENSITIVE, must: true, history: false },
  { field: 'extractable', type: CKA.EXTRACTABLE, must: false, history: false },
  { field: 'local', type: CKA.LOCAL, must: true, history: true },
  { field: 'alwaysSensitive', type: CKA.ALWAYS_SENSITIVE, must: true, history: true },
  { field: 'neverExtractable', type: CKA.NEVER_EXTRACTABLE, must: true, history: true },
] as const satisfies readonly NeverLeavesRow[]

interface NeverLeavesRow {
  readonly field: keyof CustodyAttributes
  readonly type: number
  readonly must: boolean
  readonly history: boolean
}

/** Reads what the token says about a key just made. Throws Pkcs11Error when it will not say. */
export function readBackCustodyAttributes(
  session: Session,
  handle: ObjectHandle,
  profile: Pick<VendorProfile, 'reportsHistory'>,
): CustodyAttributes {
  const rows = NEVER_LEAVES.filter((row) => !row.history || profile.reportsHistory)
  const values = session.attributes(
    handle,
    rows.map((row) => row.type),
  )
  return Object.fromEntries(
    rows.map((row, i) => [row.field, booleanOf(values[i], row.must)]),
  ) as unknown as CustodyAttributes
}

/** Throws CustodyError TOKEN_LIED if a key could leave the token, or may have been outside before (ARCH-D6). */
export function assertNeverLeaves(attributes: CustodyAttributes): void {
  assertNoLies(attributes, NEVER_LEAVES)
}

/**
 * The same for a session copy of such a key: it is no token object, and it was copied, not made. An adopted key may have a past
 * outside (`isAdopted`); the copy of one must be safe now all the same.
 */
export function assertCopyNeverLeaves(attributes: CustodyAttributes, isAdopted = false): void {
  const rows = NEVER_LEAVES.filter(({ field }) => field !== 'token' && field !== 'local')
  assertNoLies(
    attributes,
    rows.filter(({ history }) => !history || !isAdopted),
  )
  if (attributes.token) throw new CustodyError('TOKEN_LIED', 'the token kept a session copy')
}

function assertNoLies(attributes: CustodyAttributes, rows: readonly NeverLeavesRow[]): void {
  const lies = rows.filter(({ field, must, history }) => {
    const value = attributes[field]
    return value === undefined ? !history : value !== must
  })
  if (lies.length === 0) return
  const said = lies.map(({ field }) => `${field} = ${attributes[field]}`).join(', ')
  throw new CustodyError('TOKEN_LIED', `the token made a key with ${said}`)
}

/** A missing value counts as the one that we must not accept. */
function booleanOf(value: Buffer | undefined, must: boolean): boolean {
  return value?.length === 1 ? value[0] !== 0 : !must
}
