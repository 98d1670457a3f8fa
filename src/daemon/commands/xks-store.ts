import { readFileSync } from 'node:fs'
import * as z from 'zod'
import type { StorageSnapshot, XksStoreRecord } from '../../storage/storage.ts'
import { type AdminCommand, defineCommand } from '../command.ts'
import type { Installation } from '../installation.ts'
import { isoTime } from '../key-report.ts'
import { region, requestsPerSecond, storeName, uriPathPrefix } from '../xks-config.ts'
import { storeUnknown } from '../xks-credential.ts'
import { deleteXksStore, makeXksStore, setXksStoreEnabled } from '../xks-store.ts'
import { splitList } from './split-list.ts'

const argument = { name: '<store>', summary: 'name of an external key store' }

const create = defineCommand({
  name: 'xks store create',
  summary: 'make an external key store; the configuration may declare stores too',
  argument,
  flags: [
    {
      flags: '--uri-path-prefix <path>',
      summary: 'what stands before /kms/xks/v1; default: empty',
    },
    {
      flags: '--regions <names>',
      summary: 'regions AWS KMS may call from, with commas; default: all',
    },
    { flags: '--requests-per-second <number>', summary: 'quota; default: none' },
    {
      flags: '--policy-file <file>',
      summary: 'who may use its keys (JSON); default: AWS KMS decides',
    },
    { flags: '--disabled', summary: 'refuse every use until it is enabled' },
  ],
  where: 'either',
  parameters: z.strictObject({
    name: storeName,
    uriPathPrefix,
    regions: z.array(region),
    requestsPerSecond: requestsPerSecond.optional(),
    policy: z.string().optional(),
    enabled: z.boolean(),
  }),
  prepare: ({ store, uriPathPrefix: prefix, regions, requestsPerSecond: rate, ...given }) => ({
    name: String(store),
    uriPathPrefix: String(prefix ?? ''),
    regions: splitList(regions),
    ...(rate !== undefined && { requestsPerSecond: Number(rate) }),
    ...(given['policyFile'] !== undefined && {
      policy: readFileSync(String(given['policyFile']), 'utf8'),
    }),
    enabled: given['disabled'] !== true,
  }),
  perform: async ({ storage, administration }, wish) => {
    const { requestsPerSecond: rate, policy } = wish
    const whole = { ...wish, requestsPerSecond: rate, policy }
    const store = await administration.recorded((note) => makeXksStore(storage, whole, note))
    return reportStore(storage.snapshot, store)
  },
  print: (it, page) => {
    page.line(`The store ${it.name} answers at ${it.uriPath}.`)
    page.line(`Next: hsm-bridge xks key create ${it.name}/<key>`)
    page.line(`      hsm-bridge xks config-file ${it.name} --out <file>`)
  },
})

const list = defineCommand({
  name: 'xks store list',
  summary: 'list the external key stores',
  flags: [],
  where: 'either',
  parameters: z.strictObject({}),
  prepare: () => ({}),
  perform: async ({ storage: { snapshot } }) =>
    [...snapshot.allXksStores()]
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .map((store) => reportStore(snapshot, store)),
  print: (stores, page) => {
    if (stores.length === 0) return page.line('There are no external key stores yet.')
    page.table(
      ['Store', 'State', 'URI path', 'Regions', 'Keys', 'Credentials'],
      stores.map((it) => [
        it.name,
        it.enabled ? 'Enabled' : 'Disabled',
        it.uriPath,
        it.regions.join(' ') || 'all',
        String(it.keys),
        String(it.credentials.length),
      ]),
    )
  },
})

/** Of every command that is given the name of a store and nothing else. */
const aboutOneStore = {
  argument,
  flags: [],
  where: 'either',
  parameters: z.strictObject({ name: z.string() }),
  prepare: ({ store }: Readonly<Record<string, unknown>>) => ({ name: String(store) }),
} as const

const show = defineCommand({
  name: 'xks store show',
  summary: 'show an external key store, its credentials and its policy',
  ...aboutOneStore,
  perform: async ({ storage: { snapshot } }, { name }) => {
    const store = snapshot.findXksStore(name)
    if (!store) throw storeUnknown(name)
    return reportStore(snapshot, store)
  },
  print: (it, page) => {
    page.heading(it.name)
    page.facts([
      ['state', it.enabled ? 'Enabled' : 'Disabled'],
      ['URI path', it.uriPath],
      ['regions', it.regions.join(' ') || 'all'],
      [
        'requests per second',
        it.requestsPerSecond === null ? 'no quota' : `${it.requestsPerSecond}`,
      ],
      ['keys', String(it.keys)],
      ['created', it.createdAt],
    ])
    for (const { accessKeyId, createdAt } of it.credentials)
      page.line(`credential ${accessKeyId} of ${createdAt}`)
    page.line(it.policy === null ? 'no policy: AWS KMS decides who uses the keys' : 'policy')
    if (it.policy !== null) page.line(it.policy)
  },
})

const remove = defineCommand({
  name: 'xks store delete',
  summary: 'delete a store without keys, and its credentials',
  ...aboutOneStore,
  perform: async (installation, { name }) => {
    assertUndeclared(installation, name, 'take it out there first')
    const { storage, administration } = installation
    await administration.recorded((note) => deleteXksStore(storage, name, note))
    return { deleted: name }
  },
  print: ({ deleted }, page) => page.line(`The store ${deleted} is gone.`),
})

const disable = switchCommand('disable', 'refuse every use of a store until it is enabled', false)
const enable = switchCommand('enable', 'allow the use of a store again', true)

export const XKS_STORE_COMMANDS: readonly AdminCommand[] = [
  create,
  list,
  show,
  disable,
  enable,
  remove,
]

function switchCommand(verb: string, summary: string, enabled: boolean): AdminCommand {
  return defineCommand({
    name: `xks store ${verb}`,
    summary,
    ...aboutOneStore,
    perform: async (installation, { name }) => {
      assertUndeclared(installation, name, `say \`enabled: ${enabled}\` there`)
      const { storage, administration } = installation
      const store = await administration.recorded((note) =>
        setXksStoreEnabled(storage, name, enabled, note),
      )
      return reportStore(storage.snapshot, store)
    },
    print: (it, page) =>
      page.line(
        it.enabled
          ? `The store ${it.name} may be used again.`
          : `Within a second every use of the store ${it.name} is refused.`,
      ),
  })
}

/** What the configuration declares wins with the next reload, so it is changed there. */
function assertUndeclared({ reread, config }: Installation, name: string, advice: string): void {
  const { file, xks } = reread ?? config
  if (xks?.stores.some((declared) => declared.name === name))
    throw new Error(`${file} declares the store ${name}: ${advice}, then reload`)
}

function reportStore(snapshot: StorageSnapshot, store: XksStoreRecord) {
  const credentials = [...snapshot.allXksCredentials()].filter((it) => it.storeName === store.name)
  return {
    name: store.name,
    uriPath: `${store.uriPathPrefix}/kms/xks/v1`,
    regions: store.regions,
    requestsPerSecond: store.requestsPerSecond ?? null,
    enabled: store.enabled,
    policy: store.policy ?? null,
    createdAt: isoTime(store.createdAt),
    keys: [...snapshot.externalKeysOf(store.name)].length,
    credentials: credentials.map(({ accessKeyId, createdAt }) => ({
      accessKeyId,
      createdAt: isoTime(createdAt),
    })),
  }
}
