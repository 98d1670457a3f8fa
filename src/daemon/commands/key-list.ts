import * as z from 'zod'
import { defineCommand } from '../command.ts'
import { isoTime } from '../key-report.ts'

export const keyList = defineCommand({
  name: 'key list',
  summary: 'list the keys of every account and region',
  flags: [],
  where: 'either',
  parameters: z.strictObject({}),
  prepare: () => ({}),
  perform: async ({ storage: { snapshot } }) =>
    [...snapshot.allKeys()]
      .filter(({ external }) => external === undefined)
      .map((key) => ({
        arn: key.arn,
        keyId: key.keyId,
        accountId: key.accountId,
        region: key.region,
        state: key.state,
        materials: snapshot.materialsOf(key.arn).length,
        createdAt: isoTime(key.createdAt),
        description: key.description,
      })),
  print: (keys, page) => {
    if (keys.length === 0) return page.line('There are no keys yet.')
    page.table(
      ['Key', 'Account', 'Region', 'State', 'Materials', 'Created', 'Description'],
      keys.map((key) => [
        key.keyId,
        key.accountId,
        key.region,
        key.state,
        String(key.materials),
        key.createdAt,
        key.description,
      ]),
    )
  },
})
