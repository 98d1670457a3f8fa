import type { Template } from './attribute.ts'
import type { Mechanism } from './mechanism.ts'

/**
 * What must hold before a native call. pkcs11js frees uninitialised pointers when an argument has the wrong type, and the
 * process may die of it, so a wrong argument is a TypeError here and never reaches the binding.
 */

const HANDLE_BYTES = 8 // CK_ULONG on the 64-bit machines we run on
const MAX_ULONG = 0xffff_ffff // the binding passes numbers through uint32
const DATE_ATTRIBUTES = new Set([0x110, 0x111]) // CKA_START_DATE, CKA_END_DATE: the binding copies them unchecked

export function assertHandle(value: unknown, what: string): asserts value is Buffer {
  if (!Buffer.isBuffer(value) || value.length !== HANDLE_BYTES) {
    throw new TypeError(`${what} is not a handle`)
  }
}

export function assertBuffer(value: unknown, what: string): asserts value is Buffer {
  if (!Buffer.isBuffer(value)) throw new TypeError(`${what} is not a Buffer`)
}

export function assertUlong(value: unknown, what: string): asserts value is number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > MAX_ULONG) {
    throw new TypeError(`${what} is not an unsigned 32-bit number`)
  }
}

/** A C string: the binding hands it on with its length, and modules stop at a NUL. */
export function assertText(value: unknown, what: string): asserts value is string {
  if (typeof value !== 'string' || value.length === 0 || value.includes('\0')) {
    throw new TypeError(`${what} is not a text without NUL`)
  }
}

export function assertMechanism(value: Mechanism): void {
  if (typeof value !== 'object' || value === null) throw new TypeError('mechanism is not an object')
  assertUlong(value.mechanism, 'mechanism number')
  const { parameter } = value
  if (parameter === null || Buffer.isBuffer(parameter)) return
  if (typeof parameter !== 'object') throw new TypeError('mechanism parameter is not an object')
  assertUlong(parameter.type, 'type of the mechanism parameter')
  assertBuffer(parameter.iv, 'IV')
  assertUlong(parameter.ivBits, 'IV length')
  assertUlong(parameter.tagBits, 'tag length')
  if (parameter.aad !== undefined) assertBuffer(parameter.aad, 'AAD')
}

export function assertTemplate(template: Template): void {
  if (!Array.isArray(template)) throw new TypeError('template is not an array')
  for (const attribute of template) {
    if (typeof attribute !== 'object' || attribute === null) {
      throw new TypeError('attribute is not an object')
    }
    assertAttributeType(attribute.type)
    if (!isAttributeValue(attribute.value)) {
      throw new TypeError(`attribute 0x${attribute.type.toString(16)} has a value of a wrong type`)
    }
  }
}

export function assertAttributeType(type: unknown): asserts type is number {
  assertUlong(type, 'attribute type')
  if (DATE_ATTRIBUTES.has(type)) throw new TypeError('date attributes are not supported')
}

function isAttributeValue(value: unknown): boolean {
  if (typeof value === 'number') return Number.isInteger(value) && value >= 0 && value <= MAX_ULONG
  return typeof value === 'boolean' || typeof value === 'string' || Buffer.isBuffer(value)
}
