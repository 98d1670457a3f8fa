import { authorize } from './authorize.ts'
import { writeCiphertextBlob } from './ciphertext-blob.ts'
import type { EncryptionContext } from './encryption-context.ts'
import { getNamedKey } from './find-key.ts'
import { assertState } from './key-state.ts'
import type { KmsContext } from './kms-context.ts'
import { KmsError } from './kms-error.ts'
import type { RequestOf } from './operation.ts'
import { addEncryptionContext } from './request-conditions.ts'
import { assertKnownOptions, currentMaterial, openBlob, stopDryRun } from './symmetric-use.ts'

/** What both operations that generate a data key are asked. */
export interface DataKeyInput {
  readonly keyId: string | undefined
  readonly keySpec?: string | undefined
  readonly numberOfBytes?: number | undefined
  readonly encryptionContext?: EncryptionContext | undefined
  readonly grantTokens?: readonly string[] | undefined
  readonly recipient?: unknown
  readonly dryRun?: boolean | undefined
}

export interface DataKey {
  readonly ciphertextBlob: Buffer
  /** The caller's to wipe. */
  readonly plaintext: Buffer
  readonly keyId: string
  readonly keyMaterialId: string
}

const DATA_KEY_BYTES: ReadonlyMap<string, number> = new Map([
  ['AES_128', 16],
  ['AES_256', 32],
])

/** Draws a data key in the token and encrypts it there under the key that the request names. */
export async function makeDataKey(
  context: KmsContext,
  request: RequestOf<DataKeyInput>,
  operation: 'GenerateDataKey' | 'GenerateDataKeyWithoutPlaintext',
): Promise<DataKey> {
  const { input } = request
  const bytes = dataKeyBytes(input)
  const key = getNamedKey(context, request, input.keyId ?? '', `kms:${operation}`)
  authorize(context, request, `kms:${operation}`, key, (conditions) => {
    conditions.set('kms:encryptionalgorithm', ['SYMMETRIC_DEFAULT'])
    addEncryptionContext(conditions, input.encryptionContext)
  })
  assertState(key, operation)
  assertKnownOptions(key, { ...input, encryptionAlgorithm: undefined })
  const current = currentMaterial(context, key)
  const { header, aad } = openBlob(context, key, current.material, input.encryptionContext)
  stopDryRun(input)

  await context.budget.spend(current)
  const sealed = await context.custody.encryptRandom(current.material, bytes, aad)
  return {
    ciphertextBlob: writeCiphertextBlob(header, sealed),
    plaintext: sealed.plaintext,
    keyId: key.arn,
    keyMaterialId: current.material.materialId, // KMS-38
  }
}

/** KMS-40: exactly one of KeySpec and NumberOfBytes. */
function dataKeyBytes({ keySpec, numberOfBytes }: DataKeyInput): number {
  if ((keySpec === undefined) === (numberOfBytes === undefined))
    throw new KmsError('ValidationException', 'Please specify either number of bytes or key spec.')
  const bytes = numberOfBytes ?? DATA_KEY_BYTES.get(keySpec ?? '')
  if (bytes === undefined) throw new TypeError('KeySpec was not validated')
  return bytes
}
