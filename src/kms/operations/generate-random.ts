import type { GenerateRandomRequest, GenerateRandomResponse } from '@aws-sdk/client-kms'
import { authorizeInAccount } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import { KmsError } from '../kms-error.ts'
import type { Operation } from '../operation.ts'

type Input = Camel<GenerateRandomRequest>

export const generateRandom: Operation<Input> = {
  readOnly: true,
  audited: ['numberOfBytes', 'customKeyStoreId'],
  async perform({ custody }, request): Promise<Camel<GenerateRandomResponse>> {
    const bytes = wantedBytes(request.input)
    authorizeInAccount(request, 'kms:GenerateRandom')
    return { plaintext: await custody.random(bytes) }
  },
}

function wantedBytes({ numberOfBytes, customKeyStoreId, recipient }: Input): number {
  if (numberOfBytes === undefined)
    throw new KmsError('ValidationException', 'NumberOfBytes is required.') // KMS-40
  if (customKeyStoreId !== undefined)
    throw new KmsError('UnsupportedOperationException', 'Custom key stores are not supported.')
  if (recipient !== undefined)
    throw new KmsError('UnsupportedOperationException', 'Recipient is not supported.')
  return numberOfBytes
}
