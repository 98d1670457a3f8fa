import type { UpdateKeyDescriptionRequest } from '@aws-sdk/client-kms'
import type { Camel } from '../camel.ts'
import { changeKey } from '../change-key.ts'
import type { Operation } from '../operation.ts'

export const updateKeyDescription: Operation<Camel<UpdateKeyDescriptionRequest>> = {
  readOnly: false,
  audited: ['keyId', 'description'],
  async perform(context, request): Promise<undefined> {
    const { description = '' } = request.input
    await changeKey(context, request, { apply: (key) => ({ ...key, description }) })
  },
}
