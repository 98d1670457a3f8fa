import type { NormalizedSchema } from '@smithy/core/schema'
import { parseBase64 } from '../bytes/base64.ts'
import { KmsError } from '../kms/kms-error.ts'
import { camelName, type Structure } from './structure.ts'

/** Turns a parsed JSON value that is not null into ours. */
export type Reader = (json: unknown) => unknown

/**
 * Compiles the reader of a schema: parsed JSON in, our camelCase value out.
 * The reader throws SerializationException for a value of another type.
 */
export function readerOf(schema: NormalizedSchema): Reader {
  if (schema.isUnitSchema()) return readStructure([])
  if (schema.isStructSchema()) {
    return readStructure(
      [...schema.structIterator()].map(([wireName, member]) => ({
        wireName,
        name: camelName(wireName),
        read: readerOf(member),
      })),
    )
  }
  if (schema.isListSchema()) return readList(readerOf(schema.getValueSchema()))
  if (schema.isMapSchema()) return readMap(readerOf(schema.getValueSchema()))
  if (schema.isBlobSchema()) return readBlob
  if (schema.isTimestampSchema()) return readTimestamp
  if (schema.isBooleanSchema()) return readBoolean
  if (schema.isNumericSchema()) return readInteger
  if (schema.isStringSchema()) return readString
  throw new TypeError(`no reader for ${schema.getName(true)}`)
}

function readStructure(
  members: readonly { wireName: string; name: string; read: Reader }[],
): Reader {
  return (json) => {
    if (typeof json !== 'object' || json === null) throw expected('Expected null')
    if (Array.isArray(json)) throw expected(UNEXPECTED.list)
    const structure: Structure = {}
    for (const { wireName, name, read } of members) {
      const value = (json as Structure)[wireName]
      if (value !== undefined && value !== null) structure[name] = read(value) // null is as good as absent
    }
    return structure
  }
}

// Null entries of lists and maps stay, for the validator to refuse: dropping one would change the encryption context.
function readList(read: Reader): Reader {
  return (json) => {
    if (Array.isArray(json)) return json.map((item) => (item === null ? null : read(item)))
    throw expected(typeof json === 'object' ? UNEXPECTED.structure : 'Expected list or null')
  }
}

function readMap(read: Reader): Reader {
  return (json) => {
    if (Array.isArray(json)) throw expected(UNEXPECTED.list)
    if (typeof json !== 'object') throw expected('Expected map or null')
    const map = json as Structure // as JSON.parse made it: `__proto__` is a plain own key in it (AT-J02)
    for (const key of Object.keys(map)) {
      const value = map[key]
      if (!key.isWellFormed()) throw notJson()
      if (value !== null && read(value) !== value)
        throw new TypeError('a map of other than strings')
    }
    return map
  }
}

const readString: Reader = (json) => {
  if (typeof json !== 'string') throw wrongScalar(json, 'a String')
  if (!json.isWellFormed()) throw notJson() // AT-J05: a lone surrogate has no bytes to authenticate
  return json
}

const readBlob: Reader = (json) => {
  if (typeof json !== 'string') throw wrongScalar(json, 'a Blob')
  const bytes = parseBase64(json)
  if (bytes === undefined) throw notJson() // KMS-2: bad Base64 comes without a message
  return bytes
}

const readBoolean: Reader = (json) => {
  if (typeof json !== 'boolean') throw wrongScalar(json, 'a Boolean')
  return json
}

const readInteger: Reader = (json) => {
  if (typeof json !== 'number') throw wrongScalar(json, 'an Integer')
  if (!Number.isSafeInteger(json)) throw notJson() // what AWS makes of 1.5 is not known
  return json
}

const readTimestamp: Reader = (json) => {
  if (typeof json !== 'number') throw wrongScalar(json, 'a Timestamp')
  const date = new Date(Math.round(json * 1000))
  if (Number.isNaN(date.getTime())) throw notJson()
  return date
}

// The sentences of AWS's JSON 1.1 front, the same in every service that has it. Athena, 2026-09, gave all but those of
// Blob and Boolean, which are formed alike.
const UNEXPECTED = {
  list: 'Start of list found where not expected',
  structure: 'Start of structure or map found where not expected.',
} as const

function wrongScalar(json: unknown, wanted: string): KmsError {
  if (Array.isArray(json)) return expected(UNEXPECTED.list)
  if (typeof json === 'object') return expected(UNEXPECTED.structure)
  const given = typeof json === 'boolean' ? String(json) : typeof json
  return expected(`${given.toUpperCase()}_VALUE can not be converted to ${wanted}`)
}

function expected(message: string): KmsError {
  return new KmsError('SerializationException', message)
}

/** A broken request body. AWS sends no message with it (KMS-2). */
export function notJson(): KmsError {
  return new KmsError('SerializationException')
}
