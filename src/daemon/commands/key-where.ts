import * as z from 'zod'
import { defineCommand } from '../command.ts'
import { reportKey } from '../key-report.ts'
import { materialsHold, printMaterial } from './print-material.ts'

export const keyWhere = defineCommand({
  name: 'key where',
  summary: 'show where a key lies: token, object, attributes read live, proof checked now',
  argument: { name: '<key>', summary: 'key id or ARN' },
  flags: [],
  where: 'either',
  parameters: z.strictObject({ key: z.string() }),
  prepare: ({ key }) => ({ key: String(key) }),
  perform: async (installation, parameters) => {
    const { arn, state, materials } = await reportKey(installation, parameters.key)
    return { arn, state, materials }
  },
  print: ({ arn, state, materials }, page) => {
    page.heading(`${arn} (${state})`)
    for (const material of materials) printMaterial(page, material)
  },
  succeeded: ({ materials }) => materialsHold(materials),
})
