import { hash } from 'node:crypto'
import { equalBytes } from '../bytes/equal.ts'
import { fields } from '../bytes/fields.ts'
import { AEAD_SCHEMES, type AeadSchemeName, findAeadScheme } from '../crypto/aead-scheme.ts'
import type { Material, Sealed } from '../crypto/key-custody.ts'
import { canonicalContext, type EncryptionContext } from './encryption-context.ts'
import type { Key } from './key.ts'
import { KmsError } from './kms-error.ts'

// Version 1 (ARCH-D8):
//   version u8 = 1 | scheme u8 | KeyMaterialId 32 bytes | IV length u8 | check 8 bytes | IV | ciphertext with its tag or MAC
// The first three fields and the IV length are the named part; with the check they are the header.
const VERSION = 1
const MATERIAL_ID_OFFSET = 2
const MATERIAL_ID_BYTES = 32
const IV_LENGTH_OFFSET = MATERIAL_ID_OFFSET + MATERIAL_ID_BYTES
const NAMED_BYTES = IV_LENGTH_OFFSET + 1
const CHECK_BYTES = 8
const HEADER_BYTES = NAMED_BYTES + CHECK_BYTES
const CHECK_DOMAIN = Buffer.from('hsm-bridge ciphertext blob header\0')

/** A ciphertext blob whose header is intact. Nothing else about it is known to be true yet. */
export interface CiphertextBlob {
  readonly version: number
  readonly scheme: AeadSchemeName
  readonly materialId: string
  /** The header as it was read: part of the associated data. */
  readonly header: Buffer
  readonly sealed: Sealed
}

/** Throws InvalidCiphertextException unless the bytes are a blob with an intact header of a version and scheme that we know. */
export function parseCiphertextBlob(bytes: Uint8Array): CiphertextBlob {
  const blob = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (blob.length <= HEADER_BYTES || blob[0] !== VERSION) throw invalidCiphertext()
  const header = blob.subarray(0, HEADER_BYTES)
  const named = header.subarray(0, NAMED_BYTES)
  if (!equalBytes(header.subarray(NAMED_BYTES), headerCheck(named))) throw invalidCiphertext()
  const scheme = findAeadScheme(named.readUInt8(1))
  const bodyOffset = HEADER_BYTES + named.readUInt8(IV_LENGTH_OFFSET)
  if (!scheme || blob.length <= bodyOffset) throw invalidCiphertext()
  return {
    version: VERSION,
    scheme,
    materialId: named.toString('hex', MATERIAL_ID_OFFSET, IV_LENGTH_OFFSET),
    header,
    sealed: {
      iv: blob.subarray(HEADER_BYTES, bodyOffset),
      ciphertext: blob.subarray(bodyOffset),
    },
  }
}

/** The header of blobs under this material, with IVs of `ivBytes` bytes. */
export function blobHeader({ materialId, scheme }: Material, ivBytes: number): Buffer {
  const named = Buffer.alloc(NAMED_BYTES)
  named.writeUInt8(VERSION, 0)
  named.writeUInt8(AEAD_SCHEMES[scheme].id, 1)
  if (named.write(materialId, MATERIAL_ID_OFFSET, 'hex') !== MATERIAL_ID_BYTES)
    throw new TypeError('a KeyMaterialId is 64 hex digits')
  named.writeUInt8(ivBytes, IV_LENGTH_OFFSET)
  return Buffer.concat([named, headerCheck(named)])
}

/** What a blob's ciphertext is bound to: its own header, the key by account and resource id, and the encryption context (ARCH-D8). */
export function blobAad(
  header: Buffer,
  key: Pick<Key, 'accountId' | 'keyId'>,
  context: EncryptionContext | undefined,
): Buffer {
  return fields()
    .sized(1, header)
    .sized(1, key.accountId)
    .sized(1, key.keyId)
    .sized(4, canonicalContext(context))
    .bytes()
}

export function writeCiphertextBlob(header: Buffer, { iv, ciphertext }: Sealed): Buffer {
  if (iv.length !== header[IV_LENGTH_OFFSET])
    throw new TypeError('the custody wrote an IV of another length than it had said')
  return Buffer.concat([header, iv, ciphertext])
}

/** Every way in which a ciphertext can be bad is this one error, without a message (kms-facts 2). */
export function invalidCiphertext(cause?: unknown): KmsError {
  return new KmsError('InvalidCiphertextException', undefined, { cause })
}

/** Tells a damaged header from an intact one that names a key we do not have; it authenticates nothing. */
function headerCheck(named: Buffer): Buffer {
  const digest = hash('sha256', Buffer.concat([CHECK_DOMAIN, named]), 'buffer')
  return digest.subarray(0, CHECK_BYTES)
}
