import type { DeleteAliasRequest } from '@aws-sdk/client-kms'
import { ownAliasArn } from '../alias-name.ts'
import { authorizeInAccount } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import { decideOnce } from '../change-key.ts'
import { getAliasedKey } from '../find-key.ts'
import type { KmsContext } from '../kms-context.ts'
import type { Operation, RequestOf } from '../operation.ts'
import { recordChange } from '../record-change.ts'

type Input = Camel<DeleteAliasRequest>

const ACTION = 'kms:DeleteAlias'

export const deleteAlias: Operation<Input> = {
  readOnly: false,
  audited: ['aliasName'],
  perform: remove,
}

async function remove(context: KmsContext, request: RequestOf<Input>): Promise<undefined> {
  const { trail, caller } = request
  const aliasArn = ownAliasArn(request.input.aliasName ?? '', caller)
  trail.resources.push(aliasArn)
  authorizeInAccount(request, ACTION, undefined, aliasArn)
  const permitted = decideOnce(context, request, ACTION)
  permitted(getAliasedKey(context.storage.snapshot, aliasArn))
  await context.storage.change((draft) => {
    const { arn } = permitted(getAliasedKey(draft, aliasArn)) // somebody may have moved it meanwhile (AT-Z09)
    draft.removeAlias(aliasArn)
    trail.resources.push(arn)
    trail.response = { keyId: arn }
    recordChange(context, draft, request)
  })
}
