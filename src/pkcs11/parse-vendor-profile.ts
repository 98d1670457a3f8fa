import { CKA } from './attribute.ts'
import { CKR_ROWS } from './ckr.ts'
import type { VendorProfile } from './vendor-profile.ts'

/** A profile that cannot be used. `problems` names every wrong field by its path, one line each. */
export class VendorProfileError extends Error {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(`the vendor profile is wrong: ${problems.join('; ')}`)
    this.name = 'VendorProfileError'
    this.problems = problems
  }
}

/** Turns JSON into a profile; throws VendorProfileError that names every wrong field. */
export function parseVendorProfile(json: unknown): VendorProfile {
  const problems = [...PROFILE(json, '')]
  if (problems.length === 0) problems.push(...contradictions(json as VendorProfile))
  if (problems.length > 0) throw new VendorProfileError(problems)
  return json as VendorProfile
}

/** Says what is wrong with a value, as "path: what it must be". */
type Rule = (value: unknown, path: string) => Iterable<string>

const check =
  (must: string, holds: (value: unknown) => boolean): Rule =>
  (value, path) =>
    holds(value) ? [] : [`${path || 'profile'}: must be ${must}`]

const integer = (minimum: number, maximum: number): Rule =>
  check(
    `an integer from ${minimum} to ${maximum}`,
    (value) => Number.isInteger(value) && Number(value) >= minimum && Number(value) <= maximum,
  )
const text = check('a text that is not empty', (value) => typeof value === 'string' && value !== '')
const flag = check('true or false', (value) => typeof value === 'boolean')
const absolutePath = check(
  'an absolute path',
  (value) => typeof value === 'string' && value.startsWith('/'),
)
const day = check(
  'a day as YYYY-MM-DD',
  (value) => typeof value === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(value),
)
const oneOf = (...allowed: readonly string[]): Rule =>
  check(`one of ${allowed.join(', ')}`, (value) => allowed.includes(String(value)))
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const CKR_NAMES = new Set<string>(CKR_ROWS.map((row) => row.name))
const CKA_NAMES = new Set(Object.keys(CKA).map((name) => `CKA_${name}`))
// Misspelt names would be without effect, so only names that have one are taken.
const ckrName = check(
  'the name of a return code, or CKR_0x and 8 or more hex digits',
  (value) =>
    typeof value === 'string' && (CKR_NAMES.has(value) || /^CKR_0x[0-9a-f]{8,16}$/.test(value)),
)
const attributeName = check(
  'the name of an attribute that we use',
  (value) => typeof value === 'string' && CKA_NAMES.has(value),
)

function listOf(item: Rule): Rule {
  return function* (value, path) {
    if (!Array.isArray(value)) return yield `${path}: must be a list`
    for (const [i, one] of value.entries()) yield* item(one, `${path}[${i}]`)
  }
}

function mapOf(name: RegExp, item: Rule): Rule {
  return function* (value, path) {
    if (!isObject(value)) return yield `${path}: must be an object`
    for (const [key, one] of Object.entries(value)) {
      if (!name.test(key)) yield `${path}.${key}: is not a name of the form ${name.source}`
      else yield* item(one, `${path}.${key}`)
    }
  }
}

/** Every field of the table, and no other but `$schema`, which editors want at the top. */
function recordOf(fields: Readonly<Record<string, Rule>>): Rule {
  return function* (value, path) {
    const at = (key: string): string => (path === '' ? key : `${path}.${key}`)
    if (!isObject(value)) return yield `${path || 'profile'}: must be an object`
    for (const key of Object.keys(value)) {
      if (!Object.hasOwn(fields, key) && at(key) !== '$schema') yield `${at(key)}: is unknown`
    }
    for (const [key, rule] of Object.entries(fields)) {
      if (Object.hasOwn(value, key)) yield* rule(value[key], at(key))
      else yield `${at(key)}: is missing`
    }
  }
}

const MINUTES_10 = 600_000

const PROFILE = recordOf({
  name: text,
  vendor: text,
  measured: recordOf({ by: text, on: day, firmware: text }),
  modulePath: absolutePath,
  aeadScheme: oneOf('AES_GCM', 'AES_CBC_HMAC'),
  ivModel: oneOf('host', 'hsm-written', 'hsm-appended'),
  ivBytes: integer(12, 16),
  maxCipherBytes: integer(32, 2 ** 31 - 1),
  maxMacBytes: integer(32, 2 ** 31 - 1),
  maxIdBytes: integer(1, 65_535),
  maxLabelBytes: integer(1, 65_535),
  dataObjects: flag,
  maxDataBytes: integer(0, 2 ** 31 - 1),
  maxSessions: integer(2, 2 ** 31 - 1),
  callsPerLane: integer(1, 256),
  hotLanes: integer(1, 64),
  randomBatchBytes: integer(0, 1_048_576),
  deadlinesMs: recordOf({
    use: integer(1, MINUTES_10),
    useTotal: integer(1, MINUTES_10),
    find: integer(1, MINUTES_10),
    write: integer(1, MINUTES_10),
  } satisfies Record<keyof VendorProfile['deadlinesMs'], Rule>),
  killSafe: flag,
  loginRewritesFiles: listOf(text),
  readWriteSessionsOnly: flag,
  loginLimit: integer(0, 1000),
  ambiguousCkrs: listOf(ckrName),
  mechanisms: mapOf(/^CKM_\w+$/, integer(0, 2 ** 32 - 1)),
  omitAttributes: listOf(attributeName),
  reportsHistory: flag,
  sessionCopies: flag,
  import: recordOf({ allowHostUnwrap: flag }),
} satisfies Record<keyof VendorProfile, Rule>)

/** What no single field can say. */
function* contradictions(profile: VendorProfile): Iterable<string> {
  const { aeadScheme, ivBytes, ivModel, deadlinesMs } = profile
  if (ivBytes !== 12 && ivBytes !== 16) yield 'ivBytes: must be 12 or 16'
  if (aeadScheme === 'AES_CBC_HMAC' && ivBytes !== 16) yield 'ivBytes: must be 16 for AES_CBC_HMAC'
  if (aeadScheme === 'AES_CBC_HMAC' && ivModel !== 'host') {
    yield 'ivModel: must be host for AES_CBC_HMAC'
  }
  if (deadlinesMs.useTotal < deadlinesMs.use) {
    yield 'deadlinesMs.useTotal: must not be shorter than deadlinesMs.use'
  }
  if (profile.maxSessions < profile.callsPerLane + (profile.sessionCopies ? 2 : 1)) {
    yield 'maxSessions: must exceed callsPerLane by the anchor session, and by one more for sessionCopies'
  }
}
