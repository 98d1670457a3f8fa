import * as z from 'zod'
import { systemClock } from '../../kms/clock.ts'
import { Heartbeat } from '../../kms/heartbeat.ts'
import { defineCommand } from '../command.ts'
import { isoTime } from '../key-report.ts'

/** FM-F26: after a jump of the clock, keys that became due wait for an operator's word. */
export const clockAccept = defineCommand({
  name: 'clock accept',
  summary:
    'say that the system clock is right after a jump or a long stop: deletions that are due go on',
  flags: [],
  where: 'either',
  parameters: z.strictObject({}),
  prepare: () => ({}),
  perform: async ({ storage }) => {
    const before = storage.snapshot.heartbeat
    await new Heartbeat(storage, systemClock).accept()
    return { before: isoTime(before), now: isoTime(storage.snapshot.heartbeat) }
  },
  print: ({ before, now }, page) => page.line(`The counted time was ${before} and is ${now} now.`),
})
