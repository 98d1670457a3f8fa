import type { UntagResourceRequest } from '@aws-sdk/client-kms'
import type { Camel } from '../camel.ts'
import { changeKey } from '../change-key.ts'
import type { Operation } from '../operation.ts'
import { addTagKeys } from '../request-conditions.ts'
import { withoutTags } from '../tags.ts'

export const untagResource: Operation<Camel<UntagResourceRequest>> = {
  readOnly: false,
  audited: ['keyId', 'tagKeys'],
  async perform(context, request): Promise<undefined> {
    const { tagKeys = [] } = request.input
    await changeKey(context, request, {
      conditions: (conditions) => addTagKeys(conditions, tagKeys),
      apply: (key) => ({ ...key, tags: withoutTags(key.tags, tagKeys) }),
    })
  },
}
