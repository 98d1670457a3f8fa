import type { EnableKeyRotationRequest } from '@aws-sdk/client-kms'
import type { Camel } from '../camel.ts'
import { changeKey } from '../change-key.ts'
import type { RotationSchedule } from '../key.ts'
import type { Operation } from '../operation.ts'
import { DEFAULT_PERIOD_DAYS, newSchedule } from '../rotation-schedule.ts'

export const enableKeyRotation: Operation<Camel<EnableKeyRotationRequest>> = {
  readOnly: false,
  audited: ['keyId', 'rotationPeriodInDays'],
  async perform(context, request): Promise<undefined> {
    const { rotationPeriodInDays: days } = request.input
    await changeKey(context, request, {
      conditions: (conditions) =>
        conditions.set('kms:rotationperiodindays', [String(days ?? DEFAULT_PERIOD_DAYS)]),
      apply: (key) => ({
        ...key,
        rotationSchedule: enabledSchedule(key.rotationSchedule, days, context.clock.now()),
      }),
    })
  },
}

/** KMS-44: the date moves only when the period does, and a request without a period leaves the one that is set. */
function enabledSchedule(
  standing: RotationSchedule | undefined,
  days: number | undefined,
  now: number,
): RotationSchedule {
  const periodDays = days ?? standing?.periodDays ?? DEFAULT_PERIOD_DAYS
  return standing?.periodDays === periodDays ? standing : newSchedule(periodDays, now)
}
