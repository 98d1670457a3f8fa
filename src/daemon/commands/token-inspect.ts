import * as z from 'zod'
import { defineCommand } from '../command.ts'
import { judgeOwner, newestLineage } from '../token-owner.ts'

export const tokenInspect = defineCommand({
  name: 'token inspect',
  summary: 'show the token, its lanes, its owner record and how many objects it holds',
  flags: [],
  where: 'either',
  parameters: z.strictObject({}),
  prepare: () => ({}),
  perform: async (installation) => {
    const { pool, custody, modulePath, profile } = await installation.token()
    const list = await custody.list()
    const { state, lanes, replaced, token } = pool.status()
    const count = (kind: string): number => list.objects.filter((it) => it.class === kind).length
    return {
      modulePath,
      profile: `${profile.name} (measured ${profile.measured.on}, firmware ${profile.measured.firmware})`,
      scheme: profile.aeadScheme,
      token,
      state,
      lanes,
      lanesReplaced: replaced,
      owner: list.owner,
      newestLineage: newestLineage(list),
      verdict: judgeOwner(installation.storage.snapshot, list),
      secretKeys: count('SECRET_KEY'),
      dataObjects: count('DATA'),
      otherObjects: count('OTHER'),
      records: list.records.length,
      unauthenticRecords: list.records.filter(({ authentic }) => !authentic).length,
    }
  },
  print: (it, page) => {
    page.heading(`Token ${it.token?.serial ?? '?'} "${it.token?.label ?? ''}"`)
    page.facts([
      ['made by', `${it.token?.manufacturer} ${it.token?.model}, firmware ${it.token?.firmware}`],
      ['module', it.modulePath],
      ['profile', it.profile],
      ['scheme', it.scheme],
      ['state', it.state],
      [
        'objects',
        `${it.secretKeys} secret keys, ${it.dataObjects} data objects, ${it.otherObjects} others`,
      ],
      ['records', `${it.records}, of which ${it.unauthenticRecords} not authentic`],
      ['owner', it.owner ? `instance ${it.owner.instanceId}` : 'nobody'],
      ['newest token write', String(it.newestLineage)],
    ])
    page.check(
      it.verdict.kind === 'ours',
      'the token is this database’s',
      'reason' in it.verdict ? it.verdict.reason : '',
    )
    page.line()
    page.table(
      ['Lane', 'Role', 'Process'],
      it.lanes.map(({ name, role, pid }) => [name, role, String(pid ?? '-')]),
    )
  },
  succeeded: ({ verdict }) => verdict.kind === 'ours',
})
