import type { ListAliasesRequest, ListAliasesResponse } from '@aws-sdk/client-kms'
import type { Alias } from '../alias.ts'
import { authorizeInAccount } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import { getOwnKey } from '../find-key.ts'
import type { KmsContext } from '../kms-context.ts'
import type { Operation, RequestOf } from '../operation.ts'
import { pageOf } from '../paging.ts'

type Input = Camel<ListAliasesRequest>

const ACTION = 'kms:ListAliases'
const PAGE = { usual: 50, most: 100 } // KMS-60

export const listAliases: Operation<Input> = {
  readOnly: true,
  audited: ['keyId', 'limit', 'marker'],
  async perform(context, request): Promise<Camel<ListAliasesResponse>> {
    authorizeInAccount(request, ACTION)
    const { aliases, of } = wantedAliases(context, request)
    const { accountId, region } = request.caller
    const { items, ...page } = pageOf(
      context.storage.snapshot.markerSecret,
      { operation: 'ListAliases', accountId, region, of },
      aliases,
      ({ aliasName }) => aliasName,
      request.input,
      PAGE,
    )
    return { aliases: items.map(entry), ...page }
  },
}

function wantedAliases(context: KmsContext, request: RequestOf<Input>) {
  const { snapshot } = context.storage
  const { accountId, region } = request.caller
  if (request.input.keyId === undefined) return { aliases: snapshot.aliasesIn(accountId, region) }
  const { arn } = getOwnKey(context, request, request.input.keyId, ACTION)
  return { aliases: snapshot.aliasesOf(arn), of: arn }
}

function entry({ aliasName, arn, targetKeyArn, createdAt, lastUpdatedAt }: Alias) {
  return {
    aliasName,
    aliasArn: arn,
    targetKeyId: targetKeyArn.slice(targetKeyArn.lastIndexOf('/') + 1),
    creationDate: new Date(createdAt),
    lastUpdatedDate: new Date(lastUpdatedAt),
  }
}
