import type { DescribeKeyRequest, DescribeKeyResponse } from '@aws-sdk/client-kms'
import { authorize } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import { getNamedKey } from '../find-key.ts'
import { keyMetadata } from '../key-metadata.ts'
import type { Operation } from '../operation.ts'

export const describeKey: Operation<Camel<DescribeKeyRequest>> = {
  readOnly: true,
  audited: ['keyId'],
  async perform(context, request): Promise<Camel<DescribeKeyResponse>> {
    const key = getNamedKey(context, request, request.input.keyId ?? '', 'kms:DescribeKey')
    authorize(context, request, 'kms:DescribeKey', key)
    return { keyMetadata: keyMetadata(key) }
  },
}
