import type { RotateKeyOnDemandRequest, RotateKeyOnDemandResponse } from '@aws-sdk/client-kms'
import { authorize } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import { getOwnKey } from '../find-key.ts'
import type { Operation } from '../operation.ts'
import { recordChange } from '../record-change.ts'
import { assertRotatable, rotateOnDemand } from '../rotation.ts'

export const rotateKeyOnDemand: Operation<Camel<RotateKeyOnDemandRequest>> = {
  readOnly: false,
  audited: ['keyId'],
  async perform(context, request): Promise<Camel<RotateKeyOnDemandResponse>> {
    const { input, trail } = request
    const key = getOwnKey(context, request, input.keyId ?? '', 'kms:RotateKeyOnDemand')
    authorize(context, request, 'kms:RotateKeyOnDemand', key)
    assertRotatable(context, key, key.arn)
    return rotateOnDemand(context, key.arn, (draft, rotated) => {
      const reply = { keyId: rotated.arn }
      trail.response = { ...reply, keyMaterialId: rotated.currentMaterialId }
      recordChange(context, draft, request)
      return reply
    })
  },
}
