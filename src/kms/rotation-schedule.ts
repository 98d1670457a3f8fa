import type { Key, RotationSchedule } from './key.ts'

const DAY_MS = 24 * 60 * 60 * 1000

/** KMS-44 */
export const DEFAULT_PERIOD_DAYS = 365

/** The schedule of a key on which automatic rotation with this period is turned on now. */
export function newSchedule(periodDays: number, now: number): RotationSchedule {
  return { periodDays, nextAt: now + periodDays * DAY_MS }
}

/**
 * The schedule after an automatic rotation now. Dates stay where they are, minutes of delay do not add up; but a rotation that
 * comes late because the key was disabled or nobody was there to do it begins a new period.
 */
export function followingSchedule({ periodDays, nextAt }: RotationSchedule, now: number) {
  return newSchedule(periodDays, now - nextAt > DAY_MS ? now : nextAt)
}

/** Whether automatic rotation of the key is due at a time. Only enabled keys are rotated. */
export function isRotationDue({ state, rotationSchedule }: Key, now: number): boolean {
  return state === 'Enabled' && rotationSchedule !== undefined && rotationSchedule.nextAt <= now
}
