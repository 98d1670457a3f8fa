import type { DecryptRequest, DecryptResponse } from '@aws-sdk/client-kms'
import type { Camel } from '../camel.ts'
import {
  assertNames,
  assertOpenable,
  authorizeSource,
  findSource,
  openSource,
  type SourceInput,
} from '../ciphertext-source.ts'
import { assertState } from '../key-state.ts'
import type { KmsContext } from '../kms-context.ts'
import type { Operation, RequestOf } from '../operation.ts'
import { assertKnownOptions, stopDryRun } from '../symmetric-use.ts'

type Input = Camel<DecryptRequest>

export const decrypt: Operation<Input> = {
  readOnly: true,
  usesKeys: true,
  audited: ['keyId', 'encryptionContext', 'encryptionAlgorithm', 'dryRun', 'dryRunModifiers'],
  perform: decryptBlob,
}

async function decryptBlob(
  context: KmsContext,
  request: RequestOf<Input>,
): Promise<Camel<DecryptResponse>> {
  const { input } = request
  const asked = sourceInput(input)
  const source = findSource(context, request, asked)
  authorizeSource(context, request, source, asked) // first: a stranger learns no state
  assertNames(context, request, source, input.keyId) // KMS-36: before state and usage
  assertState(source.key, 'Decrypt')
  assertKnownOptions(source.key, input)
  assertOpenable(source)
  stopDryRun(input)

  const plaintext = await openSource(context, source, input.encryptionContext)
  return {
    keyId: source.key.arn,
    plaintext,
    encryptionAlgorithm: 'SYMMETRIC_DEFAULT',
    keyMaterialId: source.sealed?.blob.materialId, // KMS-38
  }
}

function sourceInput(input: Input): SourceInput {
  return {
    action: 'kms:Decrypt',
    ciphertextBlob: input.ciphertextBlob,
    keyId: input.keyId,
    encryptionContext: input.encryptionContext,
    encryptionAlgorithm: input.encryptionAlgorithm,
    dryRun: input.dryRun,
    dryRunModifiers: input.dryRunModifiers,
  }
}
