import type { ListKeysRequest, ListKeysResponse } from '@aws-sdk/client-kms'
import { authorizeInAccount } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import type { Operation } from '../operation.ts'
import { pageOf } from '../paging.ts'

const PAGE = { usual: 100, most: 1000 } // KMS-60

export const listKeys: Operation<Camel<ListKeysRequest>> = {
  readOnly: true,
  audited: ['limit', 'marker'],
  async perform({ storage: { snapshot } }, request): Promise<Camel<ListKeysResponse>> {
    authorizeInAccount(request, 'kms:ListKeys')
    const { accountId, region } = request.caller
    const { items, ...page } = pageOf(
      snapshot.markerSecret,
      { operation: 'ListKeys', accountId, region },
      snapshot.keysIn(accountId, region),
      ({ keyId }) => keyId,
      request.input,
      PAGE,
    )
    return { keys: items.map(({ keyId, arn }) => ({ keyId, keyArn: arn })), ...page }
  },
}
