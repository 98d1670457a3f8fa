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
}

/** An opaque marker that only we can have written: the last item that the caller has seen. */
export function writeMarker(secret: Buffer, list: ListName, lastSeen: string): string {
  const position = Buffer.from(lastSeen, 'utf8')
  return Buffer.concat([markerMac(secret, list, position), position]).toString('base64url')
}

/** Throws InvalidMarkerException, which has no message (kms-facts 60). */
export function readMarker(secret: Buffer, list: ListName, marker: string): string {
  const bytes = Buffer.from(marker, 'base64url')
  const position = bytes.subarray(MAC_BYTES)
  const genuine =
    bytes.toString('base64url') === marker &&
    equalBytes(bytes.subarray(0, MAC_BYTES), markerMac(secret, list, position))
  if (!genuine) throw new KmsError('InvalidMarkerException')
  return position.toString('utf8')
}

function markerMac(secret: Buffer, list: ListName, position: Buffer): Buffer {
  const input = fields()
    .sized(1, list.operation)
    .sized(1, list.accountId)
    .sized(1, list.region)
    .sized(2, position)
    .bytes()
  return createHmac('sha256', secret).update(input).digest().subarray(0, MAC_BYTES)
}
