import type { GenerateDataKeyRequest, GenerateDataKeyResponse } from '@aws-sdk/client-kms'
import type { Camel } from '../camel.ts'
import { makeDataKey } from '../data-key.ts'
import type { Operation } from '../operation.ts'

export const generateDataKey: Operation<Camel<GenerateDataKeyRequest>> = {
  readOnly: true,
  usesKeys: true,
  audited: ['keyId', 'encryptionContext', 'keySpec', 'numberOfBytes', 'dryRun'],
  async perform(context, request): Promise<Camel<GenerateDataKeyResponse>> {
    return { ...(await makeDataKey(context, request, 'GenerateDataKey')) }
  },
}
