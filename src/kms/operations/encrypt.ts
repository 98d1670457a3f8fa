import type { EncryptRequest, EncryptResponse } from '@aws-sdk/client-kms'
import { authorize } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import { writeCiphertextBlob } from '../ciphertext-blob.ts'
import { getNamedKey } from '../find-key.ts'
import { assertState } from '../key-state.ts'
import type { KmsContext } from '../kms-context.ts'
import type { Operation, RequestOf } from '../operation.ts'
import { addEncryptionContext } from '../request-conditions.ts'
import { assertKnownOptions, currentMaterial, openBlob, stopDryRun } from '../symmetric-use.ts'

type Input = Camel<EncryptRequest>

export const encrypt: Operation<Input> = {
  readOnly: true,
  usesKeys: true,
  audited: ['keyId', 'encryptionContext', 'encryptionAlgorithm', 'dryRun'],
  perform: encryptPlaintext,
}

async function encryptPlaintext(
  context: KmsContext,
  request: RequestOf<Input>,
): Promise<Camel<EncryptResponse>> {
  const { input } = request
  const key = getNamedKey(context, request, input.keyId ?? '', 'kms:Encrypt')
  authorize(context, request, 'kms:Encrypt', key, (conditions) => {
    conditions.set('kms:encryptionalgorithm', [input.encryptionAlgorithm ?? 'SYMMETRIC_DEFAULT'])
    addEncryptionContext(conditions, input.encryptionContext)
  })
  assertState(key, 'Encrypt')
  assertKnownOptions(key, input)
  const current = currentMaterial(context, key)
  const { header, aad } = openBlob(context, key, current.material, input.encryptionContext)
  stopDryRun(input)

  await context.budget.spend(current)
  const plaintext = Buffer.from(input.plaintext ?? new Uint8Array())
  try {
    const sealed = await context.custody.encrypt(current.material, plaintext, aad)
    return {
      ciphertextBlob: writeCiphertextBlob(header, sealed),
      keyId: key.arn,
      encryptionAlgorithm: 'SYMMETRIC_DEFAULT',
    }
  } finally {
    plaintext.fill(0)
  }
}
