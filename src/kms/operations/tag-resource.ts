import type { TagResourceRequest } from '@aws-sdk/client-kms'
import type { Camel } from '../camel.ts'
import { changeKey } from '../change-key.ts'
import type { Operation } from '../operation.ts'
import { addRequestTags } from '../request-conditions.ts'
import { readTags, withTags } from '../tags.ts'

export const tagResource: Operation<Camel<TagResourceRequest>> = {
  readOnly: false,
  audited: ['keyId', 'tags'],
  async perform(context, request): Promise<undefined> {
    const tags = readTags(request.input.tags)
    await changeKey(context, request, {
      conditions: (conditions) => addRequestTags(conditions, tags),
      apply: (key) => ({ ...key, tags: withTags(key.tags, tags, context.resourceQuotas) }),
    })
  },
}
