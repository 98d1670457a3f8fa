import type { GetKeyRotationStatusRequest, GetKeyRotationStatusResponse } from '@aws-sdk/client-kms'
import { authorize } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import { getNamedKey } from '../find-key.ts'
import type { Key } from '../key.ts'
import { wireState } from '../key-state.ts'
import type { Operation } from '../operation.ts'

export const getKeyRotationStatus: Operation<Camel<GetKeyRotationStatusRequest>> = {
  readOnly: true,
  audited: ['keyId'],
  async perform(context, request): Promise<Camel<GetKeyRotationStatusResponse>> {
    const { keyId = '' } = request.input
    const key = getNamedKey(context, request, keyId, 'kms:GetKeyRotationStatus', 'refused')
    authorize(context, request, 'kms:GetKeyRotationStatus', key)
    return rotationStatus(key)
  },
}

/** KMS-44. A key that is pending deletion keeps its schedule for the case that it is saved, and does not show it. */
function rotationStatus(key: Key): Camel<GetKeyRotationStatusResponse> {
  const { arn: keyId, rotationSchedule } = key
  if (!rotationSchedule || wireState(key.state) === 'PendingDeletion')
    return { keyId, keyRotationEnabled: false }
  return {
    keyId,
    keyRotationEnabled: true,
    rotationPeriodInDays: rotationSchedule.periodDays,
    nextRotationDate: new Date(rotationSchedule.nextAt),
  }
}
