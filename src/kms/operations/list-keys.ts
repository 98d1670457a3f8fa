import type { ListKeysRequest, ListKeysResponse } from '@aws-sdk/client-kms'
import { authorizeInAccount } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import type { Operation } from '../operation.ts'
import { readMarker, writeMarker } from '../paging.ts'

const DEFAULT_LIMIT = 100 // kms-facts 60

export const listKeys: Operation<Camel<ListKeysRequest>> = {
  readOnly: true,
  audited: ['limit', 'marker'],
  async perform({ storage }, request): Promise<Camel<ListKeysResponse>> {
    authorizeInAccount(request, 'kms:ListKeys')
    const { input, caller } = request
    const { accountId, region } = caller
    const list = { operation: 'ListKeys', accountId, region }
    const { markerSecret } = storage.snapshot
    const lastSeen = input.marker === undefined ? '' : readMarker(markerSecret, list, input.marker)
    const limit = input.limit ?? DEFAULT_LIMIT

    const keys = storage.snapshot.keysIn(accountId, region)
    const start = firstBehind(keys, lastSeen)
    const page = keys.slice(start, start + limit)
    const truncated = start + limit < keys.length
    return {
      keys: page.map(({ keyId, arn }) => ({ keyId, keyArn: arn })),
      ...(truncated && { nextMarker: writeMarker(markerSecret, list, page.at(-1)?.keyId ?? '') }),
      truncated,
    }
  },
}

/** Index of the first key whose id sorts behind `keyId`, which may be gone by now. */
function firstBehind(keys: readonly { readonly keyId: string }[], keyId: string): number {
  const index = keys.findIndex((key) => key.keyId > keyId)
  return index < 0 ? keys.length : index
}
