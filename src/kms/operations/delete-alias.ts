import type { DeleteAliasRequest } from '@aws-sdk/client-kms'
import { beginAliasChange } from '../alias-change.ts'
import type { Camel } from '../camel.ts'
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
  const { trail } = request
  const { aliasArn, permitted } = beginAliasChange(context, request, ACTION)
  permitted(getAliasedKey(context.storage.snapshot, aliasArn))
  await context.storage.change((draft) => {
    const { arn } = permitted(getAliasedKey(draft, aliasArn)) // somebody may have moved it meanwhile (AT-Z09)
    draft.removeAlias(aliasArn)
    trail.resources.push(arn)
    trail.response = { keyId: arn }
    recordChange(context, draft, request)
  })
}
