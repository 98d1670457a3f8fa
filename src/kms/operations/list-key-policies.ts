import type { ListKeyPoliciesRequest, ListKeyPoliciesResponse } from '@aws-sdk/client-kms'
import { authorize } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import { getOwnKey } from '../find-key.ts'
import type { Operation } from '../operation.ts'
import { POLICY_NAME } from '../policy-name.ts'

const ACTION = 'kms:ListKeyPolicies'

export const listKeyPolicies: Operation<Camel<ListKeyPoliciesRequest>> = {
  readOnly: true,
  audited: ['keyId', 'limit', 'marker'],
  async perform(context, request): Promise<Camel<ListKeyPoliciesResponse>> {
    const key = getOwnKey(context, request, request.input.keyId ?? '', ACTION)
    authorize(context, request, ACTION, key)
    return { policyNames: [POLICY_NAME], truncated: false } // KMS-60: never more than one page
  },
}
