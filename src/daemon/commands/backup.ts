import { resolve } from 'node:path'
import * as z from 'zod'
import { defineCommand } from '../command.ts'

export const backupCommand = defineCommand({
  name: 'backup',
  summary: 'write a consistent copy of the database (0600) while everything goes on',
  flags: [{ flags: '--to <file>', summary: 'a file that does not exist yet', required: true }],
  where: 'either',
  parameters: z.strictObject({ to: z.string().startsWith('/') }),
  prepare: ({ to }) => ({ to: resolve(String(to)) }),
  perform: async ({ storage }, { to }) => {
    await storage.backup(to)
    const { instanceId, lineage } = storage.snapshot
    return { to, instanceId, lineage }
  },
  print: ({ to, lineage }, page) => {
    page.line(`${to} is the database at token write ${lineage}.`)
    page.line(
      'It holds no key material. Access key secrets in it open only with this host.key: keep that apart.',
    )
  },
})
