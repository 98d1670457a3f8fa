import { createHmac } from 'node:crypto'
import { equalBytes } from '../bytes/equal.ts'
import { fields } from '../bytes/fields.ts'
import { KmsError } from './kms-error.ts'

const MAC_BYTES = 16

/** Which list a marker belongs to: it is worthless in every other. */
export interface ListName {
  readonly operation: string
  readonly accountId: string
  readonly region: string
  /** ARN of the key that the list is about, if it is about one. */
  readonly of?: string | undefined
}

/** How much of a list a request wants, and from where. */
export interface PageWish {
  readonly limit?: number | undefined
  readonly marker?: string | undefined
}

/** Items of a page when nobody says (`usual`), and the most that may be asked for (KMS-60). */
export interface PageSize {
  readonly usual: number
  readonly most: number
}

export interface Page<Item> {
  readonly items: readonly Item[]
  readonly truncated: boolean
  /** There only while more follows. */
  readonly nextMarker?: string
}

/**
 * One page of a list that is sorted by `nameOf`. Items may come and go between two pages: none that stays is missed or given
 * twice. Throws ValidationException for a limit that is too high, InvalidMarkerException.
 */
export function pageOf<Item>(
  secret: Buffer,
  list: ListName,
  sorted: readonly Item[],
  nameOf: (item: Item) => string,
  { limit, marker }: PageWish,
  size: PageSize,
): Page<Item> {
  const count = checkedLimit(limit ?? size.usual, size)
  const lastSeen = marker === undefined ? '' : readMarker(secret, list, marker)
  const index = sorted.findIndex((item) => nameOf(item) > lastSeen)
  const start = index < 0 ? sorted.length : index
  const items = sorted.slice(start, start + count)
  const last = items.at(-1)
  if (last === undefined || start + count >= sorted.length) return { items, truncated: false }
  return { items, truncated: true, nextMarker: writeMarker(secret, list, nameOf(last)) }
}

function checkedLimit(limit: number, { most }: PageSize): number {
  if (limit <= most) return limit
  throw new KmsError(
    'ValidationException',
    `1 validation error detected: Value '${limit}' at 'limit' failed to satisfy constraint: Member must have value less than or equal to ${most}`,
  )
}

/** An opaque marker that only we can have written: the last item that the caller has seen. */
function writeMarker(secret: Buffer, list: ListName, lastSeen: string): string {
  const position = Buffer.from(lastSeen, 'utf8')
  return Buffer.concat([markerMac(secret, list, position), position]).toString('base64url')
}

/** Throws InvalidMarkerException, which has no message (kms-facts 60). */
function readMarker(secret: Buffer, list: ListName, marker: string): string {
  const bytes = Buffer.from(marker, 'base64url')
  const position = bytes.subarray(MAC_BYTES)
  const genuine =
    bytes.toString('base64url') === marker &&
    equalBytes(bytes.subarray(0, MAC_BYTES), markerMac(secret, list, position))
  if (!genuine) throw new KmsError('InvalidMarkerException')
  return position.toString('utf8')
}

function markerMac(secret: Buffer, list: ListName, position: Buffer): Buffer {
  const input = fields().sized(1, list.operation).sized(1, list.accountId).sized(1, list.region)
  if (list.of !== undefined) input.sized(2, list.of)
  const mac = createHmac('sha256', secret).update(input.sized(2, position).bytes()).digest()
  return mac.subarray(0, MAC_BYTES)
}
