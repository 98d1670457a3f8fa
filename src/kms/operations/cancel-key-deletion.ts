import type { CancelKeyDeletionRequest, CancelKeyDeletionResponse } from '@aws-sdk/client-kms'
import type { Camel } from '../camel.ts'
import { changeKey } from '../change-key.ts'
import { assertCancellable } from '../key-state.ts'
import type { Operation } from '../operation.ts'

export const cancelKeyDeletion: Operation<Camel<CancelKeyDeletionRequest>> = {
  readOnly: false,
  audited: ['keyId'],
  async perform(context, request): Promise<Camel<CancelKeyDeletionResponse>> {
    const { arn } = await changeKey(context, request, {
      apply: (key) => {
        assertCancellable(key)
        return { ...key, state: 'Disabled', deletionAt: undefined } // KMS-23: not as it was before
      },
    })
    return { keyId: arn }
  },
}
