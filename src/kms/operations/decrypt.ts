import type { DecryptRequest, DecryptResponse } from '@aws-sdk/client-kms'
import { authorize } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import {
  blobAad,
  type CiphertextBlob,
  invalidCiphertext,
  parseCiphertextBlob,
} from '../ciphertext-blob.ts'
import type { Key, KeyMaterial } from '../key.ts'
import { keyNotFound, parseKeyId } from '../key-id.ts'
import { assertState } from '../key-state.ts'
import type { KmsContext } from '../kms-context.ts'
import { KmsError } from '../kms-error.ts'
import type { Operation, RequestOf } from '../operation.ts'
import { addEncryptionContext } from '../request-conditions.ts'
import { assertKnownOptions, stopDryRun } from '../symmetric-use.ts'

type Input = Camel<DecryptRequest>

export const decrypt: Operation<Input> = {
  readOnly: true,
  audited: ['keyId', 'encryptionContext', 'encryptionAlgorithm', 'dryRun'],
  perform: decryptBlob,
}

async function decryptBlob(
  context: KmsContext,
  request: RequestOf<Input>,
): Promise<Camel<DecryptResponse>> {
  const { input } = request
  const blob = parseCiphertextBlob(input.ciphertextBlob ?? new Uint8Array())
  const { key, material } = keyOfBlob(context, request, blob)
  authorizeDecrypt(context, request, key) // first: a stranger learns no state
  assertNames(context, request, key) // KMS-36: before state and usage
  assertState(key, 'Decrypt')
  assertKnownOptions(key, input)
  const aad = blobAad(blob.header, key, input.encryptionContext)
  if (material.material.scheme !== blob.scheme) throw invalidCiphertext()
  stopDryRun(input)

  const plaintext = await context.custody.decrypt(material.material, blob.sealed, aad)
  return {
    keyId: key.arn,
    plaintext,
    encryptionAlgorithm: 'SYMMETRIC_DEFAULT',
    keyMaterialId: blob.materialId, // KMS-38
  }
}

/** The blob alone says which key it is, among the keys of this region (KMS-37). */
function keyOfBlob(
  { storage }: KmsContext,
  { caller, trail }: RequestOf<Input>,
  blob: CiphertextBlob,
): { readonly key: Key; readonly material: KeyMaterial } {
  const material = storage.snapshot.findMaterial(caller.region, blob.materialId)
  const key = material && storage.snapshot.findKey(material.keyArn)
  if (!key) throw unknownCiphertext()
  trail.resources.push(key.arn)
  return { key, material }
}

/** A stranger to the key's account must not learn that the key exists (AT-Z02): it hears what an unknown ciphertext gets. */
function authorizeDecrypt(context: KmsContext, request: RequestOf<Input>, key: Key): void {
  const { caller, input } = request
  try {
    authorize(context, request, 'kms:Decrypt', key, (conditions) => {
      conditions.set('kms:encryptionalgorithm', [input.encryptionAlgorithm ?? 'SYMMETRIC_DEFAULT'])
      addEncryptionContext(conditions, input.encryptionContext)
    })
  } catch (error) {
    throw key.accountId === caller.accountId ? error : unknownCiphertext(error)
  }
}

/** A KeyId in the request chooses nothing: it may only confirm what the blob says. */
function assertNames({ storage }: KmsContext, { caller, input }: RequestOf<Input>, key: Key): void {
  if (input.keyId === undefined) return
  const named = parseKeyId(input.keyId, caller, 'accepted')
  if (named.arn === key.arn) return
  if (named.accountId === caller.accountId && !storage.snapshot.findKey(named.arn))
    throw keyNotFound(named.arn)
  throw new KmsError(
    'IncorrectKeyException',
    'The key ID in the request does not identify a CMK that can perform this operation.',
  )
}

function unknownCiphertext(cause?: unknown): KmsError {
  return new KmsError(
    'AccessDeniedException',
    'The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.',
    { cause },
  )
}
