import type { UpdateAliasRequest } from '@aws-sdk/client-kms'
import { beginAliasChange } from '../alias-change.ts'
import type { Camel } from '../camel.ts'
import { getAlias, getAliasedKey, getAliasTarget } from '../find-key.ts'
import { keyNotFound } from '../key-id.ts'
import { assertState } from '../key-state.ts'
import type { KmsContext } from '../kms-context.ts'
import { KmsError } from '../kms-error.ts'
import type { Operation, RequestOf } from '../operation.ts'
import { recordChange } from '../record-change.ts'
import { assertRoom } from '../resource-quotas.ts'

type Input = Camel<UpdateAliasRequest>

const ACTION = 'kms:UpdateAlias'

export const updateAlias: Operation<Input> = {
  readOnly: false,
  audited: ['aliasName', 'targetKeyId'],
  perform: update,
}

/** Needs permission on the alias, on the key that it leaves and on the key that it goes to, as in AWS. */
async function update(context: KmsContext, request: RequestOf<Input>): Promise<undefined> {
  const { aliasName = '', targetKeyId = '' } = request.input
  const { trail } = request
  const { aliasArn, permitted } = beginAliasChange(context, request, ACTION)
  permitted(getAliasedKey(context.storage.snapshot, aliasArn))
  const { arn } = permitted(getAliasTarget(context, request, targetKeyId, ACTION))
  const now = context.clock.now()
  await context.storage.change((draft) => {
    const current = permitted(getAliasedKey(draft, aliasArn)) // somebody may have moved it meanwhile (AT-Z09)
    const next = draft.findKey(arn)
    if (!next) throw keyNotFound(arn)
    assertState(permitted(next), 'UpdateAlias') // KMS-25: the key that it leaves may be in any state
    assertSameUsage(aliasName, current, next)
    if (current.arn !== arn)
      assertRoom(context.resourceQuotas, 'aliasesPerKey', draft.aliasesOf(arn).length)
    draft.putAlias({ ...getAlias(draft, aliasArn), targetKeyArn: arn, lastUpdatedAt: now })
    trail.resources.push(current.arn)
    trail.response = { keyId: arn }
    recordChange(context, draft, request)
  })
}

interface WithUsage {
  readonly keyUsage: string
}

/** KMS-61: what encrypts by the alias today must be able to do so tomorrow. */
function assertSameUsage(aliasName: string, current: WithUsage, next: WithUsage): void {
  if (current.keyUsage !== next.keyUsage)
    throw new KmsError(
      'ValidationException',
      `Alias ${aliasName} cannot be changed from a CMK with key usage ${current.keyUsage} to a CMK with key usage ${next.keyUsage}. The key usage of the current CMK and the new CMK must be the same.`,
    )
}
