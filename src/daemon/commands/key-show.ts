import * as z from 'zod'
import type { ExternalFacts } from '../../crypto/external-facts.ts'
import { defineCommand } from '../command.ts'
import { reportKey } from '../key-report.ts'
import { materialsHold, printMaterial } from './print-material.ts'

export const keyShow = defineCommand({
  name: 'key show',
  summary: 'show what storage knows of a key, and its token objects as they are now',
  argument: { name: '<key>', summary: 'key id or ARN' },
  flags: [],
  where: 'either',
  parameters: z.strictObject({ key: z.string() }),
  prepare: ({ key }) => ({ key: String(key) }),
  perform: (installation, { key }) => reportKey(installation, key),
  print: (key, page) => {
    page.heading(key.arn)
    page.facts([
      ['state', key.deletionAt === undefined ? key.state : `${key.state}, due ${key.deletionAt}`],
      ['spec', `${key.keySpec}, ${key.keyUsage}, ${key.origin}`],
      ['created', key.createdAt],
      ['description', key.description],
      ...externalFacts(key.external),
      ['rotations on demand', String(key.onDemandRotations)],
    ])
    if (!key.external) {
      page.line('policy')
      page.line(key.policy)
    }
    for (const material of key.materials) printMaterial(page, material)
  },
  succeeded: ({ materials }) => materialsHold(materials),
})

function externalFacts(external: ExternalFacts | undefined): [string, string][] {
  if (!external) return []
  return [
    ['external key', `${external.storeName}/${external.externalKeyId}`],
    ['external usage', external.keyUsage.join(', ')],
    ['pinned to', external.kmsKeyArn ?? 'no KMS key'],
    ['adopted', external.adopted ? 'yes' : 'no'],
  ]
}
