import { createHash } from 'node:crypto'
import { equalBytes } from '../bytes/equal.ts'
import { FieldReader, fields } from '../bytes/fields.ts'
import type { MaterialOrigin } from '../crypto/key-custody.ts'
import type { MaterialJson, OwnerRecord } from './lane-protocol.ts'

const VERSION = 1
const MAC_DOMAIN = 'hsm-bridge token record'

/** Numbers inside a record. Never reused. */
const KINDS = { material: 1, canary: 2, owner: 3 } as const
const KIND_BY_NUMBER = new Map<number, keyof typeof KINDS>(
  Object.entries(KINDS).map(([kind, number]) => [number, kind as keyof typeof KINDS]),
)

/** What stands beside the keys in the token, so that storage can be rebuilt from it (ARCH-D11). */
export type TokenRecord =
  | {
      readonly kind: 'material' | 'canary'
      readonly material: MaterialJson
      readonly origin: MaterialOrigin
    }
  | { readonly kind: 'owner'; readonly owner: OwnerRecord }

/** HMAC-SHA-256 by the record key, inside the token. */
export type RecordMac = (input: Buffer) => Buffer

/** version u8 | kind u8 | JSON (u32-sized) | MAC (u8-sized) */
export function encodeTokenRecord(record: TokenRecord, mac: RecordMac): Buffer {
  const { kind, ...body } = record
  const signed = fields()
    .number(1, VERSION)
    .number(1, KINDS[kind])
    .sized(4, JSON.stringify(body))
    .bytes()
  return Buffer.concat([
    signed,
    fields()
      .sized(1, mac(macInput(signed)))
      .bytes(),
  ])
}

export interface DecodedTokenRecord {
  readonly record: TokenRecord
  /** False when the MAC does not fit, or no record key was given: then nothing in the record is to be believed. */
  readonly authentic: boolean
}

/** Undefined for bytes that have not the form of a record. */
export function findTokenRecord(
  bytes: Buffer,
  mac: RecordMac | undefined,
): DecodedTokenRecord | undefined {
  try {
    const reader = new FieldReader(bytes)
    const version = reader.number(1)
    const kind = KIND_BY_NUMBER.get(reader.number(1))
    const body: unknown = JSON.parse(reader.sized(4).toString('utf8'))
    const signed = bytes.subarray(0, 1 + 1 + 4 + bytes.readUInt32BE(2))
    const claimed = reader.sized(1)
    if (version !== VERSION || !kind || !reader.done) return undefined
    const record = recordOf(kind, body)
    return record && { record, authentic: !!mac && equalBytes(mac(macInput(signed)), claimed) }
  } catch (error) {
    if (error instanceof RangeError || error instanceof SyntaxError) return undefined
    throw error
  }
}

/** 32 bytes of digest behind a name of their own: no other use of an HMAC key signs such bytes, and they fit any device. */
function macInput(signed: Buffer): Buffer {
  const digest = createHash('sha256').update(signed).digest()
  return fields().sized(1, MAC_DOMAIN).sized(1, digest).bytes()
}

/** Anybody who can log in can leave an object with our label: the form is checked before the content is read. */
function recordOf(kind: keyof typeof KINDS, body: unknown): TokenRecord | undefined {
  if (!isObject(body)) return undefined
  if (kind === 'owner') {
    const { owner } = body
    const valid =
      isObject(owner) && typeof owner.instanceId === 'string' && typeof owner.lineage === 'number'
    return valid ? { kind, owner: owner as unknown as OwnerRecord } : undefined
  }
  const { material, origin } = body
  if (!isMaterial(material) || !isObject(origin) || typeof origin.keyId !== 'string')
    return undefined
  return { kind, material, origin: origin as unknown as MaterialOrigin }
}

function isMaterial(value: unknown): value is MaterialJson {
  return (
    isObject(value) &&
    typeof value.materialId === 'string' &&
    typeof value.scheme === 'string' &&
    typeof value.proof === 'string' &&
    Array.isArray(value.objects) &&
    value.objects.every((object) => isObject(object) && typeof object.id === 'string')
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
