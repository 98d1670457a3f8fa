import type { DisableKeyRotationRequest } from '@aws-sdk/client-kms'
import type { Camel } from '../camel.ts'
import { changeKey } from '../change-key.ts'
import type { Operation } from '../operation.ts'

export const disableKeyRotation: Operation<Camel<DisableKeyRotationRequest>> = {
  readOnly: false,
  audited: ['keyId'],
  async perform(context, request): Promise<undefined> {
    await changeKey(context, request, {
      apply: (key) => ({ ...key, rotationSchedule: undefined }),
    })
  },
}
