import type { EncryptionContext } from './encryption-context.ts'
import type { Key, KeyMaterial } from './key.ts'
import { KEY_SPECS } from './key-spec.ts'
import type { KmsContext } from './kms-context.ts'
import { KmsError } from './kms-error.ts'
import { blobAad, blobHeader } from './ciphertext-blob.ts'
import type { Material } from '../crypto/key-custody.ts'

/** The members that every cryptographic request may carry. */
interface CryptographicInput {
  readonly encryptionAlgorithm?: string | undefined
  readonly grantTokens?: readonly string[] | undefined
  readonly recipient?: unknown
  readonly dryRun?: boolean | undefined
}

/** Refuses what this version does not know, before anything is done with the key. */
export function assertKnownOptions(key: Key, input: CryptographicInput): void {
  const algorithm = input.encryptionAlgorithm ?? 'SYMMETRIC_DEFAULT'
  const algorithms: readonly string[] = KEY_SPECS[key.keySpec].encryptionAlgorithms
  if (!algorithms.includes(algorithm))
    throw new KmsError(
      'InvalidKeyUsageException', // KMS-28
      `Algorithm ${algorithm} is incompatible with key spec ${key.keySpec}.`,
    )
  if (input.grantTokens && input.grantTokens.length > 0)
    throw new KmsError('InvalidGrantTokenException', 'The grant token names no grant.')
  if (input.recipient !== undefined)
    throw new KmsError('UnsupportedOperationException', 'Recipient is not supported.')
}

/** KMS-62: told only to those whose request would have succeeded, and before any token call (AT-Z14). */
export function stopDryRun({ dryRun }: CryptographicInput): void {
  if (dryRun === true)
    throw new KmsError(
      'DryRunOperationException',
      'The request would have succeeded, but the DryRun option is set.',
    )
}

/** The material that the key encrypts under now. */
export function currentMaterial({ storage }: KmsContext, key: Key): KeyMaterial {
  const current = storage.snapshot.findMaterial(key.region, key.currentMaterialId)
  if (!current) throw new TypeError(`storage keeps no current material of ${key.arn}`)
  return current
}

/** Header and associated data of a ciphertext that is about to be made. */
export function openBlob(
  { custody }: KmsContext,
  key: Key,
  material: Material,
  context: EncryptionContext | undefined,
): { readonly header: Buffer; readonly aad: Buffer } {
  const header = blobHeader(material, custody.ivBytes(material.scheme))
  return { header, aad: blobAad(header, key, context) }
}
