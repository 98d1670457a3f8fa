import { parseBase64 } from '../bytes/base64.ts'
import { MAX_AAD_BYTES } from './aad.ts'
import { MAX_METADATA_BYTES } from './ciphertext-metadata.ts'
import { invalid } from './json-body.ts'
import type { DecryptInput, EncryptInput } from './wire.ts'
import { XksError } from './xks-error.ts'

/** XKS E-02: AWS KMS sends up to 4,300 bytes; the rest is room for others. */
export const MAX_TEXT_BYTES = 16_384
export const TAG_BYTES = 16
/** XKS E-08, XKS D-06. */
export const IV_BYTES: readonly number[] = [12, 16]

export interface EncryptParameters {
  /** The caller's to wipe. */
  readonly plaintext: Buffer
  readonly aad: Buffer | undefined
}

export interface DecryptParameters {
  readonly iv: Buffer
  /** With the tag at the end, which is 16 bytes and nothing else, so that no byte moves between the two (XKS D-08). */
  readonly ciphertext: Buffer
  readonly aad: Buffer | undefined
  readonly metadata: Buffer | undefined
}

// Step 12 of the order of errors (XKS 1.9): what is beyond us, then what no ciphertext of anybody can be, then bad Base64.

export function encryptParameters(input: EncryptInput): EncryptParameters {
  assertAlgorithm(input.encryptionAlgorithm)
  assertAtMost('plaintext', input.plaintext, MAX_TEXT_BYTES)
  assertAadFits(input.additionalAuthenticatedData)
  if (input.plaintext === '') throw invalid('plaintext must not be empty.')
  const aad = findBytes('additionalAuthenticatedData', input.additionalAuthenticatedData)
  return { plaintext: bytesOf('plaintext', input.plaintext), aad }
}

/** Throws InvalidCiphertextException, in one text, for lengths that the token need not be asked about (XKS D-06, XKS D-07). */
export function decryptParameters(input: DecryptInput): DecryptParameters {
  assertAlgorithm(input.encryptionAlgorithm)
  assertAtMost('ciphertext', input.ciphertext, MAX_TEXT_BYTES)
  assertAadFits(input.additionalAuthenticatedData)
  const iv = parseBase64(input.initializationVector)
  const tag = parseBase64(input.authenticationTag)
  const metadataText = input.ciphertextMetadata || undefined // an empty one is none
  const metadata = metadataText === undefined ? undefined : parseBase64(metadataText)
  if (iv && !IV_BYTES.includes(iv.length)) throw invalidCiphertext('IV of another length')
  if (tag && tag.length !== TAG_BYTES) throw invalidCiphertext('tag of another length')
  if (metadata && metadata.length > MAX_METADATA_BYTES) throw invalidCiphertext('long metadata') // XKS D-02
  if (input.ciphertext === '') throw invalidCiphertext('no ciphertext')
  if (!iv) throw notBase64('initializationVector')
  if (!tag) throw notBase64('authenticationTag')
  if (metadataText !== undefined && !metadata) throw notBase64('ciphertextMetadata')
  const ciphertext = bytesOf('ciphertext', input.ciphertext)
  const aad = findBytes('additionalAuthenticatedData', input.additionalAuthenticatedData)
  return { iv, ciphertext: Buffer.concat([ciphertext, tag]), aad, metadata }
}

/** Every way in which a ciphertext can be bad is this one error in one text (AT-C16); the reason is for the log. */
export function invalidCiphertext(reason: string): XksError {
  return new XksError('InvalidCiphertextException', undefined, { cause: new Error(reason) })
}

/** XKS E-03, XKS D-04. */
function assertAlgorithm(algorithm: string): void {
  if (algorithm !== 'AES_GCM')
    throw new XksError('UnsupportedOperationException', 'encryptionAlgorithm must be AES_GCM.')
}

/** XKS E-12, AT-C14: a longer one has no form in the bytes that are authenticated. */
function assertAadFits(aad: string | undefined): void {
  if (aad !== undefined) assertAtMost('additionalAuthenticatedData', aad, MAX_AAD_BYTES)
}

function assertAtMost(name: string, base64: string, bytes: number): void {
  if (decodedBytes(base64) > bytes)
    throw new XksError(
      'UnsupportedOperationException',
      `${name} must have at most ${bytes} bytes before Base64.`,
    )
}

/** Of what is Base64; of other text something near it. */
function decodedBytes(base64: string): number {
  const padding = base64.endsWith('==') ? 2 : Number(base64.endsWith('='))
  return Math.floor((base64.length * 3) / 4) - padding
}

function findBytes(name: string, base64: string | undefined): Buffer | undefined {
  return base64 === undefined ? undefined : bytesOf(name, base64)
}

function bytesOf(name: string, base64: string): Buffer {
  const bytes = parseBase64(base64)
  if (!bytes) throw notBase64(name)
  return bytes
}

function notBase64(name: string): XksError {
  return invalid(`${name} must be standard Base64 with padding and nothing else.`)
}
