import type { GenerateDataKeyRequest, GenerateDataKeyResponse } from '@aws-sdk/client-kms'
import { authorize } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import { writeCiphertextBlob } from '../ciphertext-blob.ts'
import { getNamedKey } from '../find-key.ts'
import { assertState } from '../key-state.ts'
import type { KmsContext } from '../kms-context.ts'
import { KmsError } from '../kms-error.ts'
import type { Operation, RequestOf } from '../operation.ts'
import { addEncryptionContext } from '../request-conditions.ts'
import { assertKnownOptions, currentMaterial, openBlob, stopDryRun } from '../symmetric-use.ts'

type Input = Camel<GenerateDataKeyRequest>

const DATA_KEY_BYTES: ReadonlyMap<string, number> = new Map([
  ['AES_128', 16],
  ['AES_256', 32],
])

export const generateDataKey: Operation<Input> = {
  readOnly: true,
  audited: ['keyId', 'encryptionContext', 'keySpec', 'numberOfBytes', 'dryRun'],
  perform: generate,
}

async function generate(
  context: KmsContext,
  request: RequestOf<Input>,
): Promise<Camel<GenerateDataKeyResponse>> {
  const { input } = request
  const bytes = dataKeyBytes(input)
  const key = getNamedKey(context, request, input.keyId ?? '', 'kms:GenerateDataKey')
  authorize(context, request, 'kms:GenerateDataKey', key, (conditions) => {
    conditions.set('kms:encryptionalgorithm', ['SYMMETRIC_DEFAULT'])
    addEncryptionContext(conditions, input.encryptionContext)
  })
  assertState(key, 'GenerateDataKey')
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
function dataKeyBytes({ keySpec, numberOfBytes }: Input): number {
  if ((keySpec === undefined) === (numberOfBytes === undefined))
    throw new KmsError('ValidationException', 'Please specify either number of bytes or key spec.')
  const bytes = numberOfBytes ?? DATA_KEY_BYTES.get(keySpec ?? '')
  if (bytes === undefined) throw new TypeError('KeySpec was not validated')
  return bytes
}
