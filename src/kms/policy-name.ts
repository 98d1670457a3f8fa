import { KmsError } from './kms-error.ts'

/** A key has one policy, of this name. */
export const POLICY_NAME = 'default'

/** Throws NotFoundException for another name; the face has refused what is not even a name (KMS-58). */
export function assertPolicyName(policyName: string | undefined): void {
  if ((policyName ?? POLICY_NAME) !== POLICY_NAME)
    throw new KmsError('NotFoundException', 'No such policy exists')
}
