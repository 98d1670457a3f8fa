import type {
  GetKeyLastUsageRequest,
  GetKeyLastUsageResponse,
  KeyLastUsageData,
} from '@aws-sdk/client-kms'
import { authorize } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import { getOwnKey } from '../find-key.ts'
import type { LastUse } from '../key.ts'
import type { Operation } from '../operation.ts'

export const getKeyLastUsage: Operation<Camel<GetKeyLastUsageRequest>> = {
  readOnly: true,
  audited: ['keyId'],
  async perform(context, request): Promise<Camel<GetKeyLastUsageResponse>> {
    const { keyId = '' } = request.input
    const key = getOwnKey(context, request, keyId, 'kms:GetKeyLastUsage')
    authorize(context, request, 'kms:GetKeyLastUsage', key)
    const since = Math.max(key.createdAt, context.storage.snapshot.usesRecordedSince)
    return {
      keyId: key.keyId, // bare, as in AWS's example
      keyLastUsage: usageData(context.lastUses.of(key.arn)),
      trackingStartDate: new Date(since),
      keyCreationDate: new Date(key.createdAt),
    }
  },
}

/** An empty structure for a key that was never used. */
function usageData(use: LastUse | undefined): Camel<KeyLastUsageData> {
  if (!use) return {}
  return {
    // One of the operations of `usesKeys`: AWS's list has them all.
    operation: use.operation as NonNullable<KeyLastUsageData['Operation']>,
    timestamp: new Date(use.at),
    ...(use.eventId !== undefined && { cloudTrailEventId: use.eventId }),
    kmsRequestId: use.requestId,
  }
}
