import type {
  GenerateDataKeyWithoutPlaintextRequest,
  GenerateDataKeyWithoutPlaintextResponse,
} from '@aws-sdk/client-kms'
import type { Camel } from '../camel.ts'
import { makeDataKey } from '../data-key.ts'
import type { Operation } from '../operation.ts'

export const generateDataKeyWithoutPlaintext: Operation<
  Camel<GenerateDataKeyWithoutPlaintextRequest>
> = {
  readOnly: true,
  usesKeys: true,
  audited: ['keyId', 'encryptionContext', 'keySpec', 'numberOfBytes', 'dryRun'],
  async perform(context, request): Promise<Camel<GenerateDataKeyWithoutPlaintextResponse>> {
    const { plaintext, ...reply } = await makeDataKey(
      context,
      request,
      'GenerateDataKeyWithoutPlaintext',
    )
    plaintext.fill(0)
    return reply
  },
}
