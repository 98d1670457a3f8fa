import type { GetKeyPolicyRequest, GetKeyPolicyResponse } from '@aws-sdk/client-kms'
import { authorize } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import { getOwnKey } from '../find-key.ts'
import type { Operation } from '../operation.ts'
import { assertPolicyName, POLICY_NAME } from '../policy-name.ts'

const ACTION = 'kms:GetKeyPolicy'

export const getKeyPolicy: Operation<Camel<GetKeyPolicyRequest>> = {
  readOnly: true,
  audited: ['keyId', 'policyName'],
  async perform(context, request): Promise<Camel<GetKeyPolicyResponse>> {
    const { keyId = '', policyName } = request.input
    const key = getOwnKey(context, request, keyId, ACTION)
    authorize(context, request, ACTION, key)
    assertPolicyName(policyName)
    return { policy: key.policy, policyName: POLICY_NAME }
  },
}
