import type { ListResourceTagsRequest, ListResourceTagsResponse } from '@aws-sdk/client-kms'
import { authorize } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import { getOwnKey } from '../find-key.ts'
import type { Operation } from '../operation.ts'
import { pageOf } from '../paging.ts'

const ACTION = 'kms:ListResourceTags'
const PAGE = { usual: 50, most: 50 } // KMS-60

export const listResourceTags: Operation<Camel<ListResourceTagsRequest>> = {
  readOnly: true,
  audited: ['keyId', 'limit', 'marker'],
  async perform(context, request): Promise<Camel<ListResourceTagsResponse>> {
    const { input } = request
    const key = getOwnKey(context, request, input.keyId ?? '', ACTION)
    authorize(context, request, ACTION, key)
    const { accountId, region, arn } = key
    const { items, ...page } = pageOf(
      context.storage.snapshot.markerSecret,
      { operation: 'ListResourceTags', accountId, region, of: arn },
      key.tags, // sorted by key since they were put (KMS-20)
      ({ tagKey }) => tagKey,
      input,
      PAGE,
    )
    return { tags: items, ...page }
  },
}
