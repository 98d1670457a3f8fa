import type { PutKeyPolicyRequest } from '@aws-sdk/client-kms'
import type { Camel } from '../camel.ts'
import { changeKey } from '../change-key.ts'
import type { Key } from '../key.ts'
import { compileKeyPolicy } from '../key-policies.ts'
import type { KmsContext } from '../kms-context.ts'
import type { Operation, RequestOf } from '../operation.ts'
import { assertKeepsControl } from '../policy-lockout.ts'
import { assertPolicyName } from '../policy-name.ts'

type Input = Camel<PutKeyPolicyRequest>

export const putKeyPolicy: Operation<Input> = {
  readOnly: false,
  audited: ['keyId', 'policyName', 'policy', 'bypassPolicyLockoutSafetyCheck'],
  async perform(context, request): Promise<undefined> {
    const { policyName, bypassPolicyLockoutSafetyCheck: bypass = false } = request.input
    await changeKey(context, request, {
      conditions: (conditions) =>
        conditions.set('kms:bypasspolicylockoutsafetycheck', [String(bypass)]),
      apply: (key) => {
        assertPolicyName(policyName)
        return withPolicy(context, request, key)
      },
    })
  },
}

/** The text stays as it was put, character for character (KMS-19). */
function withPolicy({ storage }: KmsContext, request: RequestOf<Input>, key: Key): Key {
  const { policy = '', bypassPolicyLockoutSafetyCheck } = request.input
  const compiled = compileKeyPolicy(policy)
  if (bypassPolicyLockoutSafetyCheck !== true)
    assertKeepsControl(compiled, request, {
      ...key,
      aliases: storage.snapshot.aliasesOf(key.arn),
    })
  return { ...key, policy }
}
