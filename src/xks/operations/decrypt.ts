import { CustodyError } from '../../crypto/custody-error.ts'
import type { KeyCustody, Material } from '../../crypto/key-custody.ts'
import { gcmAad, hashedGcmAad } from '../aad.ts'
import { findMaterial, isOurMetadata } from '../ciphertext-metadata.ts'
import type { ExternalKey } from '../external-key.ts'
import { parseBody } from '../json-body.ts'
import {
  type DecryptParameters,
  decryptParameters,
  invalidCiphertext,
  TAG_BYTES,
} from '../parameters.ts'
import type { XksRequest, XksTrail } from '../proxy.ts'
import { readRequestMetadata } from '../read-request-metadata.ts'
import { authorize } from '../secondary-authorization.ts'
import { assertEnabled, assertUsage, brokenResult, getKey, noteMaterial } from '../use-key.ts'
import { decryptAnswer, readDecrypt } from '../wire.ts'

/** The steps of XKS 1.9 from the body on. */
export async function decrypt(
  custody: KeyCustody,
  request: XksRequest,
  trail: XksTrail,
): Promise<string> {
  const body = parseBody(request)
  const metadata = readRequestMetadata('Decrypt', body, trail)
  const input = readDecrypt(body)
  const key = getKey(request)
  authorize(request, key, metadata, trail)
  assertEnabled(request.store, key)
  const parameters = decryptParameters(input)
  request.admit?.() // XKS X-09
  assertUsage(key, 'DECRYPT')
  const material = materialOf(key, parameters)
  noteMaterial(trail, material)
  const plaintext = await open(custody, key, material, parameters)
  try {
    if (plaintext.length !== parameters.ciphertext.length - TAG_BYTES) throw brokenResult('length') // XKS D-09
    return decryptAnswer(plaintext)
  } finally {
    plaintext.fill(0) // XKS D-10
  }
}

/** Metadata of ours names a material of this key and of no other (AT-C09); without it, only adopted material can have made it. */
function materialOf(key: ExternalKey, { metadata }: DecryptParameters): Material {
  const material = isOurMetadata(metadata)
    ? findMaterial(key, metadata)
    : key.adopted
      ? key.materials[0]
      : undefined
  if (!material) throw invalidCiphertext('the metadata names no material of the key')
  return material
}

async function open(
  custody: KeyCustody,
  key: ExternalKey,
  material: Material,
  parameters: DecryptParameters,
): Promise<Buffer> {
  const { aad, metadata } = parameters
  // An absent AAD reads the same in both ways, and what is ours was never hashed.
  const mayBeHashed = key.opensHashedAad && aad !== undefined && !isOurMetadata(metadata)
  if (!mayBeHashed) return custody.decrypt(material, parameters, gcmAad(aad, metadata))
  try {
    return await custody.decrypt(material, parameters, hashedGcmAad(aad, metadata)) // nearly all of them are of that form
  } catch (error) {
    if (!isRejected(error)) throw error
    return custody.decrypt(material, parameters, gcmAad(aad, metadata))
  }
}

function isRejected(error: unknown): boolean {
  return error instanceof CustodyError && error.code === 'CIPHERTEXT_REJECTED'
}
