import type { CreateAliasRequest } from '@aws-sdk/client-kms'
import { newAlias } from '../alias.ts'
import { beginAliasChange } from '../alias-change.ts'
import type { Camel } from '../camel.ts'
import { getAliasTarget } from '../find-key.ts'
import { keyNotFound } from '../key-id.ts'
import { assertState } from '../key-state.ts'
import type { KmsContext } from '../kms-context.ts'
import { KmsError } from '../kms-error.ts'
import type { Operation, RequestOf } from '../operation.ts'
import { recordChange } from '../record-change.ts'
import { assertRoom } from '../resource-quotas.ts'

type Input = Camel<CreateAliasRequest>

const ACTION = 'kms:CreateAlias'

export const createAlias: Operation<Input> = {
  readOnly: false,
  audited: ['aliasName', 'targetKeyId'],
  perform: create,
}

async function create(context: KmsContext, request: RequestOf<Input>): Promise<undefined> {
  const { aliasName = '', targetKeyId = '' } = request.input
  const { trail } = request
  const { aliasArn, permitted } = beginAliasChange(context, request, ACTION)
  const { arn } = permitted(getAliasTarget(context, request, targetKeyId, ACTION))
  const now = context.clock.now()
  await context.storage.change((draft) => {
    const key = draft.findKey(arn)
    if (!key) throw keyNotFound(arn)
    assertState(permitted(key), 'CreateAlias')
    if (draft.findAlias(aliasArn))
      throw new KmsError(
        'AlreadyExistsException',
        `An alias with the name ${aliasArn} already exists`, // KMS-61
      )
    assertRoom(context.resourceQuotas, 'aliasesPerKey', draft.aliasesOf(arn).length)
    draft.putAlias(newAlias(aliasName, key, now))
    trail.response = { keyId: arn }
    recordChange(context, draft, request)
  })
}
