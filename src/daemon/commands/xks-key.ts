import * as z from 'zod'
import { ROTATE_ENCRYPTIONS } from '../../kms/encryption-budget.ts'
import { isExternalKeyId } from '../../xks/uri-path.ts'
import { type AdminCommand, defineCommand, type FlagRow, type Given } from '../command.ts'
import type { Page } from '../page.ts'
import { STORE_NAME } from '../xks-config.ts'
import {
  adoptXksKey,
  createXksKey,
  getXksKey,
  pinXksKey,
  rotateXksKey,
  setXksKeyState,
  summarise,
  type XksKeySummary,
} from '../xks-key.ts'
import { splitList } from './split-list.ts'

/** AWS's own shape of a key ARN; a token record, which keeps it for a rebuild, has no room for anything. */
const KMS_KEY_ARN = /^arn:aws[a-z-]*:kms:[a-z0-9-]{1,64}:\d{12}:key\/[A-Za-z0-9-]{1,64}$/

const argument = {
  name: '<key>',
  summary: 'store/key: an external key store and the id of its key',
}

const name = z.string().refine(isKeyName, 'must be store/key, the key of A-Z a-z 0-9 . _ -')

const facts = {
  name,
  keyUsage: z.array(z.enum(['ENCRYPT', 'DECRYPT'])).min(1),
  kmsKeyArn: z.string().regex(KMS_KEY_ARN, 'must be the ARN of a KMS key').optional(),
}

const FACT_FLAGS: readonly FlagRow[] = [
  { flags: '--usage <usages>', summary: 'ENCRYPT,DECRYPT (the default) or one of them' },
  { flags: '--kms-key-arn <arn>', summary: 'the only KMS key that may use it; default: any' },
]

function preparedFacts({ key, usage, kmsKeyArn }: Given) {
  return {
    name: String(key),
    keyUsage: (usage === undefined ? ['ENCRYPT', 'DECRYPT'] : splitList(usage)) as (
      | 'ENCRYPT'
      | 'DECRYPT'
    )[],
    ...(kmsKeyArn !== undefined && { kmsKeyArn: String(kmsKeyArn) }),
  }
}

function externalFacts(
  it: {
    readonly name: string
    readonly keyUsage: ('ENCRYPT' | 'DECRYPT')[]
    kmsKeyArn?: string | undefined
  },
  origin: { readonly adopted: boolean; readonly opensHashedAad: boolean },
) {
  const [storeName = '', externalKeyId = ''] = it.name.split('/')
  const { keyUsage, kmsKeyArn } = it
  const usages = [...new Set(keyUsage)]
  return {
    storeName,
    externalKeyId,
    keyUsage: usages,
    ...(kmsKeyArn !== undefined && { kmsKeyArn }),
    ...origin,
  }
}

const create = defineCommand({
  name: 'xks key create',
  summary: 'make an AES-256 key in the token for an external key store',
  argument,
  flags: FACT_FLAGS,
  where: 'either',
  parameters: z.strictObject(facts),
  prepare: preparedFacts,
  perform: async (installation, wish) => {
    const made = externalFacts(wish, { adopted: false, opensHashedAad: false })
    const key = await createXksKey(installation, made)
    return summarise(installation.storage.snapshot, key)
  },
  print: (it, page) => {
    printKey(it, page)
    const next = `aws kms create-key --origin EXTERNAL_KEY_STORE --xks-key-id ${it.externalKeyId} …`
    const pinning = it.kmsKeyArn === undefined ? `, and pin it to that key: xks key pin` : ''
    page.line(`Next: ${next}${pinning}`)
  },
})

const adopt = defineCommand({
  name: 'xks key adopt',
  summary:
    'take an AES-256 key that is in the token already into use; it is never changed or destroyed',
  argument,
  flags: [
    { flags: '--id <hex>', summary: 'its CKA_ID' },
    { flags: '--label <label>', summary: 'its CKA_LABEL' },
    { flags: '--accept-imported', summary: 'take also a key that was outside the token once' },
    {
      flags: '--from <program>',
      summary: 'aws-kms-xks-proxy: decrypt also what that program has encrypted with an AAD',
    },
    {
      flags: '--encryptions-so-far <number>',
      summary: 'encryptions it has made, where known; default: 2147483648, half of what is safe',
    },
    ...FACT_FLAGS,
  ],
  where: 'either',
  parameters: z.strictObject({
    ...facts,
    id: z
      .string()
      .regex(/^([0-9a-f]{2})+$/, 'must be hexadecimal digits')
      .optional(),
    label: z.string().min(1).optional(),
    acceptImported: z.boolean(),
    from: z.literal('aws-kms-xks-proxy').optional(),
    encryptionsSoFar: z.number().int().min(0),
  }),
  prepare: (given) => {
    const { id, label, acceptImported, from, encryptionsSoFar } = given
    if (id === undefined && label === undefined) throw new Error('name it by --id or --label')
    if (from !== undefined && from !== 'aws-kms-xks-proxy')
      throw new Error('--from knows aws-kms-xks-proxy')
    return {
      ...preparedFacts(given),
      ...(id !== undefined && { id: String(id).toLowerCase() }),
      ...(label !== undefined && { label: String(label) }),
      acceptImported: acceptImported === true,
      ...(from !== undefined && { from: 'aws-kms-xks-proxy' as const }),
      encryptionsSoFar: Number(encryptionsSoFar ?? ROTATE_ENCRYPTIONS),
    }
  },
  perform: async (installation, wish) => {
    const { id, label, acceptImported, from, encryptionsSoFar } = wish
    const { key, adopted } = await adoptXksKey(installation, {
      facts: externalFacts(wish, { adopted: true, opensHashedAad: from !== undefined }),
      name: { ...(id !== undefined && { id }), ...(label !== undefined && { label }) },
      acceptImported,
      encryptionsSoFar,
    })
    const { label: tokenLabel, history } = adopted
    return { ...summarise(installation.storage.snapshot, key), tokenLabel, history }
  },
  print: (it, page) => {
    printKey(it, page)
    const { local, alwaysSensitive, neverExtractable } = it.history
    page.facts([
      ['label in the token', it.tokenLabel],
      ['made in the token', told(local)],
      ['always sensitive', told(alwaysSensitive)],
      ['never extractable', told(neverExtractable)],
    ])
    page.line(
      'It is not rotated by itself: it stops at the end of its encryptions (xks key rotate).',
    )
  },
})

const disable = stateCommand('disable', 'refuse every use of an external key', 'Disabled')
const enable = stateCommand('enable', 'allow an external key again', 'Enabled')

const pin = defineCommand({
  name: 'xks key pin',
  summary: 'let one KMS key alone use an external key, or every one again',
  argument,
  flags: [
    { flags: '--kms-key-arn <arn>', summary: 'the KMS key; without it the pin is taken off' },
  ],
  where: 'either',
  parameters: z.strictObject({ name, kmsKeyArn: facts.kmsKeyArn }),
  prepare: ({ key, kmsKeyArn }) => ({
    name: String(key),
    ...(kmsKeyArn !== undefined && { kmsKeyArn: String(kmsKeyArn) }),
  }),
  perform: async (installation, wish) => {
    const { storage } = installation
    const key = getXksKey(storage.snapshot, wish.name)
    return summarise(storage.snapshot, await pinXksKey(installation, key, wish.kmsKeyArn))
  },
  print: (it, page) => {
    printKey(it, page)
    page.line(
      'The token hears of it with the next material (xks key rotate): a rebuild before that forgets it, and says so.',
    )
  },
})

const rotate = defineCommand({
  name: 'xks key rotate',
  summary: 'encrypt under new material from now on; what the key had before decrypts for ever',
  argument,
  flags: [],
  where: 'either',
  parameters: z.strictObject({ name }),
  prepare: ({ key }) => ({ name: String(key) }),
  perform: async (installation, wish) => {
    const { snapshot } = installation.storage
    const key = await rotateXksKey(installation, getXksKey(snapshot, wish.name))
    return summarise(installation.storage.snapshot, key)
  },
  print: printKey,
})

const list = defineCommand({
  name: 'xks key list',
  summary: 'list the external keys',
  flags: [{ flags: '--store <name>', summary: 'of this store only' }],
  where: 'either',
  parameters: z.strictObject({ store: z.string().optional() }),
  prepare: ({ store }) => (store === undefined ? {} : { store: String(store) }),
  perform: async ({ storage: { snapshot } }, { store }) =>
    [...snapshot.allKeys()]
      .filter(({ external }) => external && (store === undefined || external.storeName === store))
      .map((key) => summarise(snapshot, key))
      .toSorted((a, b) => (fullName(a) < fullName(b) ? -1 : 1)),
  print: (keys, page) => {
    if (keys.length === 0) return page.line('There are no external keys yet.')
    page.table(
      ['Key', 'State', 'Usage', 'Pinned to', 'Materials', 'Adopted', 'Created'],
      keys.map((it) => [
        it.storeExists ? fullName(it) : `${fullName(it)} (there is no such store)`,
        it.state,
        it.keyUsage.join(' '),
        it.kmsKeyArn ?? '-',
        String(it.materials),
        it.adopted ? 'yes' : 'no',
        it.createdAt,
      ]),
    )
  },
})

export const XKS_KEY_COMMANDS: readonly AdminCommand[] = [
  create,
  adopt,
  disable,
  enable,
  pin,
  rotate,
  list,
]

function stateCommand(verb: string, summary: string, state: 'Enabled' | 'Disabled'): AdminCommand {
  return defineCommand({
    name: `xks key ${verb}`,
    summary,
    argument,
    flags: [],
    where: 'either',
    parameters: z.strictObject({ name }),
    prepare: ({ key }) => ({ name: String(key) }),
    perform: async (installation, wish) => {
      const { storage } = installation
      const key = getXksKey(storage.snapshot, wish.name)
      return summarise(storage.snapshot, await setXksKeyState(installation, key, state))
    },
    print: printKey,
  })
}

function isKeyName(text: string): boolean {
  const [storeName = '', externalKeyId = '', ...more] = text.split('/')
  return STORE_NAME.test(storeName) && isExternalKeyId(externalKeyId) && more.length === 0
}

function printKey(it: XksKeySummary, page: Page): void {
  page.heading(fullName(it))
  page.facts([
    ['state', it.state],
    ['usage', it.keyUsage.join(', ')],
    ['pinned to', it.kmsKeyArn ?? 'no KMS key'],
    ['material', `${it.currentMaterialId}, ${it.materials} in all`],
  ])
}

function fullName({ storeName, externalKeyId }: XksKeySummary): string {
  return `${storeName}/${externalKeyId}`
}

function told(value: boolean | undefined): string {
  return value === undefined ? 'the token does not say' : value ? 'yes' : 'no'
}
