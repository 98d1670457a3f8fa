import type { ScheduleKeyDeletionRequest, ScheduleKeyDeletionResponse } from '@aws-sdk/client-kms'
import { authorize } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import { getNamedKey } from '../find-key.ts'
import type { Key } from '../key.ts'
import { keyNotFound } from '../key-id.ts'
import { assertState } from '../key-state.ts'
import type { KmsContext } from '../kms-context.ts'
import { KmsError } from '../kms-error.ts'
import type { Operation, RequestOf } from '../operation.ts'
import { recordChange } from '../record-change.ts'

type Input = Camel<ScheduleKeyDeletionRequest>

// KMS-23
const SHORTEST_DAYS = 7
const LONGEST_DAYS = 30
const DAY_MS = 24 * 60 * 60 * 1000

export const scheduleKeyDeletion: Operation<Input> = {
  readOnly: false,
  audited: ['keyId', 'pendingWindowInDays'],
  perform: schedule,
}

async function schedule(
  context: KmsContext,
  request: RequestOf<Input>,
): Promise<Camel<ScheduleKeyDeletionResponse>> {
  const days = pendingWindowInDays(request.input)
  const { arn } = authorizedKey(context, request, days)
  const deletionAt = context.clock.now() + days * DAY_MS
  return context.sections.enter(arn, () =>
    context.storage.change((draft) => {
      const key = draft.findKey(arn)
      if (!key) throw keyNotFound(arn)
      assertState(key, 'ScheduleKeyDeletion')
      draft.putKey({ ...key, state: 'PendingDeletion', deletionAt })
      const deletionDate = new Date(deletionAt)
      request.trail.response = { keyId: arn, deletionDate: deletionDate.toISOString() }
      recordChange(context, draft, request)
      return {
        keyId: arn,
        deletionDate,
        keyState: 'PendingDeletion' as const,
        pendingWindowInDays: days,
      }
    }),
  )
}

function authorizedKey(context: KmsContext, request: RequestOf<Input>, days: number): Key {
  const action = 'kms:ScheduleKeyDeletion'
  const key = getNamedKey(context, request, request.input.keyId ?? '', action, 'refused')
  authorize(context, request, action, key, (conditions) =>
    conditions.set('kms:schedulekeydeletionpendingwindowindays', [String(days)]),
  )
  return key
}

function pendingWindowInDays({ pendingWindowInDays: days = LONGEST_DAYS }: Input): number {
  const bound =
    days < SHORTEST_DAYS
      ? `greater than or equal to ${SHORTEST_DAYS}`
      : days > LONGEST_DAYS
        ? `less than or equal to ${LONGEST_DAYS}`
        : undefined
  if (bound)
    throw new KmsError(
      'ValidationException',
      `1 validation error detected: Value '${days}' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value ${bound}`,
    )
  return days
}
