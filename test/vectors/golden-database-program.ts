import { randomBytes } from 'node:crypto'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { type CallerUnderTest, DaemonUnderTest } from '../support/daemon-under-test.ts'
import {
  type Exchange,
  folderOfNew,
  type GoldenCiphertext,
  type GoldenExternal,
  type GoldenFacts,
  type Outcome,
} from '../support/golden-database.ts'
import { readOutToken } from '../support/golden-token.ts'
import { callKms } from '../support/kms-request.ts'

/**
 * Writes the golden database of the version in this tree: `node test/vectors/golden-database-program.ts database-v<N>`.
 * A daemon on a fresh token does what users do; what it answers at the end are the facts.
 */

const WARNING =
  'Key material and secrets for tests only: they are public. Never use them where anything is to be protected.'
const OTHER_ACCOUNT = '444455556666'
const DATABASE = 'hsm-bridge.sqlite'

type Members = Readonly<Record<string, unknown>>
interface MadeKey {
  readonly KeyId: string
  readonly Arn: string
}

const [name = ''] = process.argv.slice(2)
if (!/^database-v\d+$/.test(name)) throw new TypeError('name it database-v<N>')
const folder = folderOfNew(name)

const daemon = await DaemonUnderTest.start()
const callers: Record<string, Required<CallerUnderTest>> = {}
const ciphertexts: GoldenCiphertext[] = []

async function ask<T = Members>(caller: string, operation: string, body: Members): Promise<T> {
  return callKms<T>(daemon.endpoint(callers[caller]), { operation, body })
}

async function makeKey(caller: string, input: Members): Promise<MadeKey> {
  return (await ask<{ KeyMetadata: MadeKey }>(caller, 'CreateKey', input)).KeyMetadata
}

async function encrypt(
  caller: string,
  { KeyId, Arn }: MadeKey,
  EncryptionContext?: Record<string, string>,
): Promise<void> {
  const plaintext = randomBytes(32).toString('base64')
  const context = EncryptionContext && { EncryptionContext }
  const body = { KeyId, Plaintext: plaintext, ...context }
  const { CiphertextBlob } = await ask<{ CiphertextBlob: string }>(caller, 'Encrypt', body)
  ciphertexts.push({ caller, keyArn: Arn, ...context, CiphertextBlob, plaintext })
}

/** Changes what no user could: the configuration, or what the clock would have to bring. */
async function restart(change: () => void): Promise<void> {
  await daemon.terminate()
  change()
  await daemon.serve()
}

async function addPrincipals(): Promise<void> {
  const { region } = daemon
  callers['administrator'] = { ...daemon.credentials, region }
  const Statement = [{ Effect: 'Allow', Action: 'kms:*', Resource: '*' }]
  const options = { account: OTHER_ACCOUNT, policy: { Version: '2012-10-17', Statement } }
  const other = await daemon.createPrincipal('other', options)
  const { accessKeyId, secretAccessKey } = other
  callers['other'] = { accessKeyId, secretAccessKey, region: 'us-east-1' }
  const nobody = await daemon.createPrincipal('nobody')
  callers['nobody'] = {
    accessKeyId: nobody.accessKeyId,
    secretAccessKey: nobody.secretAccessKey,
    region,
  }
}

function policyOf(account: string, ...users: string[]): string {
  const users_ = users.map((user) => `arn:aws:iam::${account}:user/${user}`)
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { AWS: `arn:aws:iam::${account}:root` },
        Action: 'kms:*',
        Resource: '*',
      },
      { Effect: 'Allow', Principal: { AWS: users_ }, Action: 'kms:Decrypt', Resource: '*' },
    ],
  })
}

/** What version 1 could do. */
async function makeKeys() {
  const orders = await makeKey('administrator', { Description: 'orders, größe 12 €' })
  await encrypt('administrator', orders)
  await encrypt('administrator', orders, { purpose: 'orders', größe: '12 €' })
  for (let rotation = 0; rotation < 2; rotation++) {
    await ask('administrator', 'RotateKeyOnDemand', { KeyId: orders.KeyId })
    await encrypt('administrator', orders, { rotation: String(rotation) })
  }
  const shared = await makeKey('administrator', { Policy: policyOf('123456789012', 'nobody') })
  await encrypt('administrator', shared)
  ciphertexts.push({ ...itemAt(ciphertexts, -1), caller: 'nobody' })
  const abroad = await makeKey('other', { Description: 'another account and region' })
  await encrypt('other', abroad, { a: '' })
  const doomed = await makeKey('administrator', { Description: 'pending deletion' })
  await ask('administrator', 'ScheduleKeyDeletion', { KeyId: doomed.KeyId })
  return { orders, shared, abroad, doomed }
}

/** A key whose time had come: only its tombstone is left. Answers a ciphertext of it. */
async function destroyOne(): Promise<{ gone: MadeKey; CiphertextBlob: string }> {
  const gone = await makeKey('administrator', { Description: 'destroyed' })
  const body = { KeyId: gone.KeyId, Plaintext: 'AAAA' }
  const { CiphertextBlob } = await ask<{ CiphertextBlob: string }>('administrator', 'Encrypt', body)
  await ask('administrator', 'ScheduleKeyDeletion', { KeyId: gone.KeyId })
  await restart(() => {
    const sqlite = new Sqlite(join(daemon.state, DATABASE))
    sqlite.prepare('update kms_key set deletion_at = created_at where arn = ?').run(gone.Arn)
    sqlite.close()
  })
  return { gone, CiphertextBlob }
}

/** A key of a token without GCM. */
async function makeWithoutGcm(): Promise<MadeKey> {
  const config = readFileSync(daemon.configPath, 'utf8')
  const write = (text: string) => writeFileSync(daemon.configPath, text, { mode: 0o600 })
  await restart(() => write(config.replace('profile: softhsm2', 'profile: softhsm2-without-gcm')))
  const made = await makeKey('administrator', { Description: 'AES-CBC and HMAC' })
  await encrypt('administrator', made, { scheme: 'AES_CBC_HMAC' })
  await restart(() => write(config))
  return made
}

/** What came with version 2. A version that lacks it says so, and goes without. */
async function nameAndTag({ orders, shared }: Record<'orders' | 'shared', MadeKey>) {
  const requests: readonly (readonly [string, Members])[] = [
    ['CreateAlias', { AliasName: 'alias/orders', TargetKeyId: orders.KeyId }],
    ['CreateAlias', { AliasName: 'alias/moved', TargetKeyId: orders.KeyId }],
    ['UpdateAlias', { AliasName: 'alias/moved', TargetKeyId: shared.KeyId }],
    [
      'TagResource',
      {
        KeyId: orders.KeyId,
        Tags: [
          { TagKey: 'team', TagValue: 'orders' },
          { TagKey: 'größe', TagValue: '12 €' },
        ],
      },
    ],
    ['EnableKeyRotation', { KeyId: orders.KeyId, RotationPeriodInDays: 90 }],
    ['UpdateKeyDescription', { KeyId: shared.KeyId, Description: 'shared with nobody' }],
  ]
  for (const [operation, input] of requests)
    await ask('administrator', operation, input).catch((error: Error) => {
      if (error.name !== 'UnsupportedOperationException') throw error
    })
}

async function disableOne(): Promise<MadeKey> {
  const disabled = await makeKey('administrator', { Description: 'disabled' })
  await ask('administrator', 'DisableKey', { KeyId: disabled.KeyId }).catch((error: Error) => {
    if (error.name !== 'UnsupportedOperationException') throw error
  })
  return disabled
}

const XKS_PIN = 'arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab'
const XKS_POLICY = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: '*', Action: 'xks:*', Resource: '*' }],
}

/** External keys came with version 2. The credentials' secrets are nobody's: only that they open is of interest. */
async function makeExternalKeys(): Promise<void> {
  const xks = (...words: readonly string[]) => daemon.cli('xks', ...words)
  const policyFile = join(daemon.directory, 'xks-policy.json')
  writeFileSync(policyFile, JSON.stringify(XKS_POLICY))
  const described = ['--regions', 'eu-west-1,us-east-1', '--requests-per-second', '12.5']
  const guarded = ['--uri-path-prefix', '/payments', '--policy-file', policyFile]
  await xks('store', 'create', 'payments', ...guarded, ...described)
  await xks('store', 'create', 'plain', '--disabled')
  for (let credential = 0; credential < 2; credential++) await xks('credential', 'add', 'payments')
  await xks('key', 'create', 'payments/rotated', '--kms-key-arn', XKS_PIN)
  await xks('key', 'rotate', 'payments/rotated')
  await xks('key', 'create', 'payments/writes', '--usage', 'ENCRYPT')
  await xks('key', 'create', 'plain/disabled')
  await xks('key', 'disable', 'plain/disabled')
}

async function tellExternalKeys(): Promise<GoldenExternal> {
  const told = async (...words: readonly string[]): Promise<never> =>
    JSON.parse(await daemon.cli('xks', ...words, '--json')) as never
  const names = ['payments', 'plain']
  const stores = await Promise.all(names.map((store) => told('store', 'show', store)))
  return { stores, keys: await told('key', 'list') }
}

async function exchange(caller: string, operation: string, input: Members): Promise<Exchange[]> {
  const outcome: Outcome = await ask(caller, operation, input).then(
    (reply) => ({ reply }),
    (error: Error) => ({ error: error.name, message: error.message }),
  )
  const isUnknown = 'error' in outcome && outcome.error === 'UnsupportedOperationException'
  return isUnknown ? [] : [{ caller, operation, input, outcome }]
}

const OF_A_KEY = [
  'DescribeKey',
  'GetKeyPolicy',
  'GetKeyRotationStatus',
  'GetKeyLastUsage',
  'ListAliases',
  'ListKeyPolicies',
  'ListKeyRotations',
  'ListResourceTags',
]

function itemAt<T>(items: readonly T[], index: number): T {
  const item = items.at(index)
  if (item === undefined) throw new TypeError(`no item ${index}`)
  return item
}

function migrationsOf(path: string): string[] {
  const sqlite = new Sqlite(path, { readonly: true })
  const rows = sqlite.prepare('select name from kysely_migration order by name').all()
  sqlite.close()
  return (rows as { name: string }[]).map((row) => row.name)
}

await addPrincipals()
const keys = await makeKeys()
const { gone, CiphertextBlob: lost } = await destroyOne()
const withoutGcm = await makeWithoutGcm()
await nameAndTag(keys)
const all = { ...keys, gone, withoutGcm, disabled: await disableOne() }
await makeExternalKeys()
await restart(() => undefined) // the facts are what storage kept
const exchanges: Exchange[] = []
for (const [which, { Arn }] of Object.entries(all)) {
  const caller = which === 'abroad' ? 'other' : 'administrator'
  for (const operation of OF_A_KEY)
    exchanges.push(...(await exchange(caller, operation, { KeyId: Arn })))
}
for (const operation of ['ListKeys', 'ListAliases']) {
  exchanges.push(...(await exchange('administrator', operation, {})))
  exchanges.push(...(await exchange('other', operation, {})))
}
exchanges.push(...(await exchange('administrator', 'Decrypt', { CiphertextBlob: lost })))
exchanges.push(...(await exchange('nobody', 'ListKeys', {})))
const external = await tellExternalKeys()
await daemon.terminate()

const state = join(folder, 'state')
mkdirSync(state, { recursive: true })
for (const file of [DATABASE, 'host.key', 'aws-credentials'])
  copyFileSync(join(daemon.state, file), join(state, file))
const facts: GoldenFacts = {
  warning: WARNING,
  migrations: migrationsOf(join(state, DATABASE)),
  token: readOutToken(daemon.token),
  callers,
  exchanges,
  ciphertexts,
  external,
}
writeFileSync(join(folder, 'facts.json'), `${JSON.stringify(facts, undefined, 1)}\n`)
await daemon.stop()
