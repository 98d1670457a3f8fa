import { CustodyError } from '../../crypto/custody-error.ts'
import type { KeyCustody, Material } from '../../crypto/key-custody.ts'
import { gcmAad, hashedGcmAad } from '../aad.ts'
import { Absence } from '../absence.ts'
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
  const candidate = candidateOf(key, parameters)
  noteMaterial(trail, candidate.material)
  const plaintext = await open(custody, candidate, parameters)
  try {
    if (plaintext.length !== parameters.ciphertext.length - TAG_BYTES) throw brokenResult('length') // XKS D-09
    return decryptAnswer(plaintext)
  } finally {
    plaintext.fill(0) // XKS D-10
  }
}

/** A material that may have made the ciphertext, and the AAD by which it did. */
interface Candidate {
  readonly material: Material
  readonly tokenAad: Buffer
  /** Our metadata names a material that this key does not have, as far as we know. */
  readonly isGuess: boolean
}

/**
 * Metadata of ours names a material of this key and of no other (AT-C09). Without it, only adopted material can have made the
 * ciphertext, and then in the way of the proxy that it comes from.
 */
function candidateOf(key: ExternalKey, { aad, metadata }: DecryptParameters): Candidate {
  const isOurs = isOurMetadata(metadata)
  const named = isOurs ? findMaterial(key, metadata) : undefined
  if (named) return { material: named, tokenAad: gcmAad(aad, metadata), isGuess: false }
  const adopted = key.adopted ? key.materials[0] : undefined
  if (!adopted) {
    if (isOurs) throw unknownMaterial()
    throw invalidCiphertext('there is no metadata of ours, and the key was made here')
  }
  // An absent AAD has no digest: there the two ways are one.
  const isHashed = key.opensHashedAad && aad !== undefined
  const tokenAad = isHashed ? hashedGcmAad(aad, metadata) : gcmAad(aad, metadata)
  return { material: adopted, tokenAad, isGuess: isOurs }
}

async function open(
  custody: KeyCustody,
  { material, tokenAad, isGuess }: Candidate,
  parameters: DecryptParameters,
): Promise<Buffer> {
  try {
    return await custody.decrypt(material, parameters, tokenAad)
  } catch (error) {
    throw isGuess && isRejected(error) ? unknownMaterial(error) : error
  }
}

function unknownMaterial(cause: unknown = new Error('no material of that name')): Absence {
  return new Absence('InvalidCiphertextException', undefined, { cause })
}

function isRejected(error: unknown): boolean {
  return error instanceof CustodyError && error.code === 'CIPHERTEXT_REJECTED'
}
