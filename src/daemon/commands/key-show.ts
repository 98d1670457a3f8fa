import * as z from 'zod'
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
      ['rotations on demand', String(key.onDemandRotations)],
    ])
    page.line('policy')
    page.line(key.policy)
    for (const material of key.materials) printMaterial(page, material)
  },
  succeeded: ({ materials }) => materialsHold(materials),
})
