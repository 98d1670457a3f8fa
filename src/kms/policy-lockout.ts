import type { CompiledPolicy } from '../policy/compiled-policy.ts'
import type { Alias } from './alias.ts'
import type { Key } from './key.ts'
import { KmsError } from './kms-error.ts'
import type { RequestOf } from './operation.ts'
import {
  addKeyConditions,
  addResourceAliases,
  addResourceTags,
  requestConditions,
} from './request-conditions.ts'

/** What is known of the key that the policy is for; it may not exist yet. */
interface PolicySubject extends Pick<Key, 'arn' | 'keySpec' | 'keyUsage' | 'origin' | 'tags'> {
  readonly aliases: readonly Alias[]
}

/** KMS-58: whoever puts a policy must be able to change it afterwards (AT-Z06). Throws MalformedPolicyDocumentException. */
export function assertKeepsControl(
  policy: CompiledPolicy,
  { caller, facts }: RequestOf<unknown>,
  subject: PolicySubject,
): void {
  const context = requestConditions(caller, facts)
  addKeyConditions(context, subject)
  addResourceTags(context, subject.tags)
  addResourceAliases(context, subject.aliases)
  const { deny, allows } = policy.decide({
    principal: caller,
    action: 'kms:PutKeyPolicy',
    resource: subject.arn,
    context,
  })
  if (deny || allows.length === 0)
    throw new KmsError(
      'MalformedPolicyDocumentException',
      'The new key policy will not allow you to update the key policy in the future.',
    )
}
