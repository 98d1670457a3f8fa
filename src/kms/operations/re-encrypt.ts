import type { ReEncryptRequest, ReEncryptResponse } from '@aws-sdk/client-kms'
import { authorize } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import { writeCiphertextBlob } from '../ciphertext-blob.ts'
import {
  assertNames,
  assertOpenable,
  authorizeSource,
  type CiphertextSource,
  findSource,
  openSource,
  type SourceInput,
} from '../ciphertext-source.ts'
import { getNamedKey } from '../find-key.ts'
import type { Key } from '../key.ts'
import { assertState } from '../key-state.ts'
import type { KmsContext } from '../kms-context.ts'
import type { Operation, RequestOf } from '../operation.ts'
import { addEncryptionContext, addRequestAlias } from '../request-conditions.ts'
import { assertKnownOptions, currentMaterial, openBlob, stopDryRun } from '../symmetric-use.ts'

type Input = Camel<ReEncryptRequest>

export const reEncrypt: Operation<Input> = {
  readOnly: true,
  usesKeys: true,
  audited: [
    'sourceKeyId',
    'sourceEncryptionContext',
    'sourceEncryptionAlgorithm',
    'destinationKeyId',
    'destinationEncryptionContext',
    'destinationEncryptionAlgorithm',
    'dryRun',
    'dryRunModifiers',
  ],
  perform: reEncryptBlob,
}

async function reEncryptBlob(
  context: KmsContext,
  request: RequestOf<Input>,
): Promise<Camel<ReEncryptResponse>> {
  const { input } = request
  const asked = sourceInput(input)
  const source = findSource(context, request, asked)
  const destination = getNamedKey(context, request, input.destinationKeyId ?? '', 'kms:ReEncryptTo')
  authorizeBoth(context, request, source, destination)
  assertNames(context, request, source, input.sourceKeyId) // KMS-36
  assertUsable(source.key, { ...input, encryptionAlgorithm: input.sourceEncryptionAlgorithm })
  assertOpenable(source)
  assertUsable(destination, {
    ...input,
    encryptionAlgorithm: input.destinationEncryptionAlgorithm,
  })
  const current = currentMaterial(context, destination)
  const { header, aad } = openBlob(
    context,
    destination,
    current.material,
    input.destinationEncryptionContext,
  )
  stopDryRun(input)

  const plaintext = await openSource(context, source, input.sourceEncryptionContext) // AT-C17: before the destination is used
  try {
    await context.budget.spend(current)
    const sealed = await context.custody.encrypt(current.material, plaintext, aad)
    return {
      ciphertextBlob: writeCiphertextBlob(header, sealed),
      sourceKeyId: source.key.arn,
      keyId: destination.arn,
      sourceEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      destinationEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      sourceKeyMaterialId: source.sealed?.blob.materialId,
      destinationKeyMaterialId: current.material.materialId,
    }
  } finally {
    plaintext.fill(0)
  }
}

/** AT-Z13: whoever may use one of the keys may not therefore use the other. */
function authorizeBoth(
  context: KmsContext,
  request: RequestOf<Input>,
  source: CiphertextSource,
  destination: Key,
): void {
  const { input } = request
  const onSameKey = [String(source.key.arn === destination.arn)]
  authorizeSource(context, request, source, sourceInput(input), (conditions) =>
    conditions.set('kms:reencryptonsamekey', onSameKey),
  )
  authorize(context, request, 'kms:ReEncryptTo', destination, (conditions) => {
    conditions.set('kms:reencryptonsamekey', onSameKey)
    conditions.set('kms:encryptionalgorithm', [
      input.destinationEncryptionAlgorithm ?? 'SYMMETRIC_DEFAULT',
    ])
    addEncryptionContext(conditions, input.destinationEncryptionContext)
    addRequestAlias(conditions, input.destinationKeyId)
  })
}

function assertUsable(key: Key, options: Parameters<typeof assertKnownOptions>[1]): void {
  assertState(key, 'ReEncrypt')
  assertKnownOptions(key, options)
}

function sourceInput(input: Input): SourceInput {
  return {
    action: 'kms:ReEncryptFrom',
    ciphertextBlob: input.ciphertextBlob,
    keyId: input.sourceKeyId,
    encryptionContext: input.sourceEncryptionContext,
    encryptionAlgorithm: input.sourceEncryptionAlgorithm,
    dryRun: input.dryRun,
    dryRunModifiers: input.dryRunModifiers,
  }
}
