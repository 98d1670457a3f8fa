import * as z from 'zod'
import { defineCommand } from '../command.ts'

export const tokenUnlatch = defineCommand({
  name: 'token unlatch',
  summary: 'allow one more login after a refused PIN (real HSMs lock after a few)',
  flags: [],
  where: 'either',
  parameters: z.strictObject({}),
  prepare: () => ({}),
  perform: async (installation) => {
    const { serial, pool, pinHasChanged } = await installation.connection()
    const restartNeeded = await pinHasChanged()
    const opened = installation.latch.open(serial)
    // FM-F09: lanes that were told another PIN must not spend an attempt on it.
    if (!restartNeeded) void pool.retryLogin().catch(() => undefined) // its outcome is in the log
    return { tokenSerial: serial, opened, restartNeeded }
  },
  print: ({ tokenSerial, opened, restartNeeded }, page) => {
    page.line(
      opened
        ? `The latch of token ${tokenSerial} is open: the next login tries its PIN once.`
        : `The latch of token ${tokenSerial} was not closed.`,
    )
    if (restartNeeded)
      page.line('The PIN has changed since the daemon read it: restart the daemon.')
  },
})
