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
    const { serial, pool } = await installation.connection()
    const opened = installation.latch.open(serial)
    void pool.retryLogin().catch(() => undefined) // its outcome is in the log and in the pool's state
    return { tokenSerial: serial, opened }
  },
  print: ({ tokenSerial, opened }, page) =>
    page.line(
      opened
        ? `The latch of token ${tokenSerial} is open: the next login tries its PIN once.`
        : `The latch of token ${tokenSerial} was not closed.`,
    ),
})
