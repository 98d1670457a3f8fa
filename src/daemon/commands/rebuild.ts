import * as z from 'zod'
import { defineCommand } from '../command.ts'
import { rebuild } from '../rebuild.ts'

export const rebuildCommand = defineCommand({
  name: 'rebuild',
  summary: 'put into a lost or old database what the token’s own records tell',
  flags: [],
  where: 'alone',
  makesState: true,
  parameters: z.strictObject({}),
  prepare: () => ({}),
  perform: (installation) => rebuild(installation),
  print: (it, page) => {
    page.facts([
      ['token', it.tokenSerial],
      ['instance', it.instanceId],
      ['token write', String(it.lineage)],
      ['keys added', String(it.keysAdded.length)],
      ['materials added', String(it.materialsAdded)],
      ['administrator', it.administratorRestored ? 'put back' : 'was there'],
    ])
    for (const arn of it.keysAdded) page.line(`    ${arn}`)
    if (it.keysAdded.some((arn) => !arn.startsWith('arn:aws:'))) {
      page.line(
        'External keys wait for a store of their name: hsm-bridge xks store create; see: xks key list.',
      )
    }
    if (it.keysAdded.some((arn) => arn.startsWith('arn:aws:'))) {
      page.line(
        'These keys are Enabled under the default key policy: put their policies and descriptions back.',
      )
    }
    page.check(
      it.refusedRecords.length === 0,
      'every record was authentic',
      it.refusedRecords.join(', '),
    )
  },
})
