import { expect } from 'chai'
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { stringify } from 'yaml'
import { ADMIN_COMMANDS, performCommand } from '../../src/daemon/commands/index.ts'
import { type AdminCommand, commandPath, type Given } from '../../src/daemon/command.ts'
import { type AuditLog, createAuditLog } from '../../src/audit/audit-log.ts'
import { loadConfig } from '../../src/daemon/config.ts'
import { ConfiguredXks } from '../../src/daemon/configured-xks.ts'
import { initialise } from '../../src/daemon/initialise.ts'
import { Installation, type Surroundings } from '../../src/daemon/installation.ts'
import { createLogger } from '../../src/daemon/log.ts'
import { Page } from '../../src/daemon/page.ts'
import { readSeed, seedKeys, seedPrincipals } from '../../src/daemon/seed.ts'
import type { XksKeySummary } from '../../src/daemon/xks-key.ts'
import { createKms, type KmsService } from '../../src/kms/create-kms.ts'
import { systemClock } from '../../src/kms/clock.ts'
import { ROTATE_ENCRYPTIONS } from '../../src/kms/encryption-budget.ts'
import { makeSoftHsmToken, type SoftHsmToken } from '../support/softhsm.ts'
import { type ForeignKey, visitToken } from '../support/token-visitor.ts'
import { capturedStream } from './captured-stream.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const RELOAD = 'ReloadConfiguration'
const PIN_ARN = 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'
const OWN = { AccessKeyId: 'OWNEDCREDENTIAL234567', RawSecretAccessKey: 'S+/='.repeat(11) }

interface ChangeRecord {
  readonly eventName: string
  readonly requestParameters: Readonly<Record<string, unknown>>
  readonly responseElements: Readonly<Record<string, unknown>> | null
}

interface RebuiltKeys {
  readonly externalKeys: readonly { readonly name: string; readonly kmsKeyArn: string | null }[]
  readonly keysToRotate: readonly string[]
}

describe('xks commands', function () {
  this.timeout(30_000)
  const directory = temporaryDirectory()
  const configFile = join(directory, 'config.yaml')
  const policyFile = join(directory, 'policy.json')
  let token: SoftHsmToken
  let bridge: Installation
  let kms: KmsService
  let xks: ConfiguredXks
  let audit: AuditLog
  const spool = join(directory, 'state/audit')

  const log = capturedStream()

  before(async () => {
    token = await makeSoftHsmToken()
    configure({})
    await initialise(around())
    await open()
  })
  after(async () => {
    await close()
    token.remove()
  })

  async function open(): Promise<void> {
    bridge = await Installation.open(around(), 'test')
    const { custody } = await bridge.token()
    kms = createKms({ storage: bridge.storage, custody })
    xks = new ConfiguredXks(bridge, kms.budget)
    await openAudit()
  }

  /** As the daemon does it. */
  async function openAudit(): Promise<void> {
    const { outbox } = bridge.storage
    audit = await createAuditLog({
      directory: spool,
      durability: 'write',
      clock: systemClock,
      outbox,
    })
    bridge.administration.deliver = (line) => audit.deliver(line)
  }

  async function close(): Promise<void> {
    await kms.close()
    await audit.close()
    await bridge.close()
  }

  /** Audit records of changes that `work` left in the spool. */
  async function recordsOf(work: () => Promise<unknown>): Promise<ChangeRecord[]> {
    const lines = () =>
      readdirSync(spool)
        .toSorted()
        .flatMap((name) => readFileSync(join(spool, name), 'utf8').trimEnd().split('\n'))
    const before = lines().filter((line) => line !== '').length
    await work()
    return lines()
      .filter((line) => line !== '')
      .slice(before)
      .map((line) => JSON.parse(line) as ChangeRecord)
  }

  function configure(members: object, { profile = 'softhsm2' } = {}): void {
    const config = {
      stateDirectory: join(directory, 'state'),
      token: {
        profile,
        modulePath: token.modulePath,
        serial: token.serial,
        pinFile: join(token.dir, 'pin'),
        environment: { ...token.env },
      },
      ...members,
    }
    writeFileSync(configFile, stringify(config), { mode: 0o600 })
  }

  function around(): Surroundings {
    const config = loadConfig({ file: configFile }, {})
    return { config, logger: createLogger({ level: 'error' }, log.stream), env: process.env }
  }

  /** As the command line does it: prepared, checked, performed, printed. */
  async function run(name: string, given: Given = {}): Promise<{ result: unknown; text: string }> {
    const row: AdminCommand =
      ADMIN_COMMANDS.find((it) => it.name === name) ?? expect.fail(`no ${name}`)
    const result =
      row.where === 'alone'
        ? await row.perform(bridge, row.prepare(given))
        : await performCommand(bridge, commandPath(row), row.prepare(given))
    const page = capturedStream()
    row.print(result, new Page(page.stream))
    await new Promise(setImmediate)
    return { result, text: page.text() }
  }
  const refusal = (name: string, given: Given = {}): Promise<string> =>
    run(name, given).then(
      () => expect.fail('it succeeded'),
      (error: Error) => error.message,
    )
  const keyOf = async (name: string, given: Given): Promise<XksKeySummary> =>
    (await run(name, given)).result as XksKeySummary

  describe('xks store', () => {
    it('makes one, lists it, shows it', async () => {
      writeFileSync(policyFile, policyFor('*'))
      const given = {
        store: 'payments',
        uriPathPrefix: '/payments',
        regions: 'eu-west-1,us-east-1',
        requestsPerSecond: '100',
        policyFile,
      }
      expect((await run('xks store create', given)).text).include('/payments/kms/xks/v1')
      await run('xks store create', { store: 'plain', disabled: true })
      expect((await run('xks store list')).text).match(/^plain .*Disabled.*\n?/m)
      const { result } = await run('xks store show', { store: 'payments' })
      expect(result).deep.include({
        uriPath: '/payments/kms/xks/v1',
        regions: ['eu-west-1', 'us-east-1'],
        requestsPerSecond: 100,
        enabled: true,
        policy: policyFor('*'),
        keys: 0,
      })
    })

    it('XKS U-02, XKS U-10: refuses names, prefixes, regions and policies that will not do', async () => {
      const create = (given: Given) => refusal('xks store create', { store: 'x', ...given })
      expect(await create({ store: 'payments', uriPathPrefix: '/other' })).include('exists already')
      expect(await create({ uriPathPrefix: '/payments' })).include('belongs to the store payments')
      expect(await create({ store: 'a/b' })).include('letters, digits')
      expect(await create({ uriPathPrefix: '/a/../b' })).include('uriPathPrefix')
      expect(await create({ uriPathPrefix: '/x', regions: 'Ireland' })).include('must be a region')
      expect(await create({ uriPathPrefix: '/x', requestsPerSecond: '0' })).include('requests')
      writeFileSync(policyFile, '{"Statement": []}')
      expect(await create({ uriPathPrefix: '/x', policyFile })).include('Statement')
    })

    it('XKS X-02: disables and enables one at once', async () => {
      const enabled = () => xks.directory.findStore('/payments')?.enabled
      const { result, text } = await run('xks store disable', { store: 'payments' })
      expect(result).deep.include({ name: 'payments', enabled: false, policy: policyFor('*') })
      expect(text).include('every use of the store payments is refused')
      expect(enabled()).equal(false)
      expect((await run('xks store list')).text).match(/^payments .*Disabled/m)
      expect((await run('xks store enable', { store: 'payments' })).text).include('may be used')
      expect(enabled()).equal(true)
      const unknown = await refusal('xks store disable', { store: 'none' })
      expect(unknown).include('there is no external key store none')
    })

    it('ARCH-D14: every change of one is recorded, and what changes nothing is not', async () => {
      const plain = { store: 'told', uriPathPrefix: '/told', regions: 'eu-west-1' }
      const records = await recordsOf(async () => {
        await run('xks store create', plain)
        await run('xks store disable', { store: 'told' })
        await run('xks store disable', { store: 'told' })
        await run('xks store enable', { store: 'told' })
        await run('xks credential add', { store: 'told' })
        await refusal('xks store create', plain)
        await run('xks store delete', { store: 'told' })
      })
      const told = { storeName: 'told' }
      expect(records.map((it) => [it.eventName, it.requestParameters])).deep.equal([
        [
          'CreateExternalKeyStore',
          { ...told, uriPathPrefix: '/told', regions: ['eu-west-1'], enabled: true },
        ],
        ['DisableExternalKeyStore', told],
        ['EnableExternalKeyStore', told],
        ['AddExternalKeyStoreCredential', records[3]?.requestParameters],
        ['DeleteExternalKeyStore', told],
      ])
      const { accessKeyId } = records[3]?.requestParameters ?? {}
      expect(records[4]?.responseElements).deep.equal({ removedAccessKeyIds: [accessKeyId] })
      expect(await bridge.storage.outbox.pending()).deep.equal([])
    })

    it('ARCH-D14: a record names the local administrator, whose uid nobody knows', async () => {
      const [record] = await recordsOf(() => run('xks store enable', { store: 'plain' }))
      expect(record).deep.include({
        eventSource: 'xks-proxy',
        eventName: 'EnableExternalKeyStore',
        userIdentity: {
          type: 'LocalAdministrator',
          principalId: 'uid unknown: the user of hsm-bridge, or root',
        },
        readOnly: false,
        eventType: 'AwsApiCall',
        eventCategory: 'Management',
      })
      expect(record).to.include.all.keys('eventVersion', 'eventTime', 'eventID', 'resources')
    })

    it('ARCH-D14: a record that the spool does not take waits in the outbox', async () => {
      await audit.close()
      bridge.administration.deliver = () => Promise.reject(new Error('disk full'))
      await run('xks store disable', { store: 'plain' })
      expect(await bridge.storage.outbox.pending()).lengthOf(1)
      expect(log.text()).include('waits in the outbox')
      const records = await recordsOf(openAudit)
      expect(records).to.have.nested.property('[0].eventName', 'DisableExternalKeyStore')
      expect(await bridge.storage.outbox.pending()).deep.equal([])
    })

    it('deletes one only while it has no keys', async () => {
      await run('xks store create', { store: 'gone', uriPathPrefix: '/gone' })
      await run('xks credential add', { store: 'gone' })
      await run('xks store delete', { store: 'gone' })
      expect(await refusal('xks store show', { store: 'gone' })).include('there is no external')
      await run('xks key create', { key: 'plain/stays' })
      expect(await refusal('xks store delete', { store: 'plain' })).include('has keys')
    })
  })

  describe('xks key', () => {
    it('makes one in the token, pinned and for one use', async () => {
      const given = { key: 'payments/one', usage: 'ENCRYPT', kmsKeyArn: PIN_ARN }
      expect(await keyOf('xks key create', given)).deep.include({
        storeName: 'payments',
        externalKeyId: 'one',
        keyUsage: ['ENCRYPT'],
        kmsKeyArn: PIN_ARN,
        state: 'Enabled',
        adopted: false,
        materials: 1,
      })
      const found = xks.directory.findStore('/payments')?.findKey('one')
      expect(found).include({ enabled: true, kmsKeyArn: PIN_ARN })
    })

    it('XKS U-06, XKS U-07: refuses names that no path may have, and unknown stores', async () => {
      for (const id of ['.', '..', 'a b', 'a/b', 'é', '', 'x'.repeat(129)])
        expect(await refusal('xks key create', { key: `payments/${id}` }), id).include('store/key')
      expect(await refusal('xks key create', { key: 'none/a' })).include(
        'no external key store none',
      )
      expect(await refusal('xks key create', { key: 'payments/one' })).include('exists already')
      const usage = { key: 'payments/two', usage: 'SIGN' }
      expect(await refusal('xks key create', usage)).include('keyUsage')
      const pin = { key: 'payments/two', kmsKeyArn: 'arn:aws:kms:*:1:key/x' }
      expect(await refusal('xks key create', pin)).include('must be the ARN of a KMS key')
    })

    it('ARCH-D14: every change of one is recorded with all that was settled about it', async () => {
      const key = { key: 'payments/told' }
      let id: unknown
      const records = await recordsOf(async () => {
        await run('xks key create', key)
        id = bridge.storage.snapshot.findExternalKey('payments', 'told')?.currentMaterialId
        await run('xks key disable', key)
        await run('xks key disable', key)
        await run('xks key enable', key)
        await run('xks key pin', { ...key, kmsKeyArn: PIN_ARN })
        await run('xks key pin', { ...key, kmsKeyArn: PIN_ARN })
        await run('xks key pin', key)
        await run('xks key rotate', key)
        await refusal('xks key create', key)
      })
      const made = bridge.storage.snapshot.findExternalKey('payments', 'told')
      const keyUsage = ['ENCRYPT', 'DECRYPT']
      const facts = { storeName: 'payments', externalKeyId: 'told', keyUsage }
      const whole = { ...facts, adopted: false, opensHashedAad: false }
      expect(
        records.map((it) => [it.eventName, it.requestParameters, it.responseElements]),
      ).deep.equal([
        ['CreateExternalKey', whole, { state: 'Enabled', keyMaterialId: id }],
        ['DisableExternalKey', whole, { state: 'Disabled', keyMaterialId: id }],
        ['EnableExternalKey', whole, { state: 'Enabled', keyMaterialId: id }],
        [
          'PinExternalKey',
          { ...whole, kmsKeyArn: PIN_ARN },
          { state: 'Enabled', keyMaterialId: id },
        ],
        ['UnpinExternalKey', whole, { state: 'Enabled', keyMaterialId: id }],
        ['RotateExternalKey', whole, { state: 'Enabled', keyMaterialId: made?.currentMaterialId }],
      ])
      for (const record of records) expect(record).deep.include({ resources: [{ ARN: made?.arn }] })
    })

    it('XKS G-05, G-06: disables and enables one at once', async () => {
      const enabled = () => xks.directory.findStore('/payments')?.findKey('one')?.enabled
      expect((await keyOf('xks key disable', { key: 'payments/one' })).state).equal('Disabled')
      expect(enabled()).equal(false)
      await run('xks key enable', { key: 'payments/one' })
      expect(enabled()).equal(true)
      expect(await refusal('xks key disable', { key: 'payments/none' })).include('no external key')
    })

    it('XKS Z-05: pins one, and takes the pin off', async () => {
      const pinned = () => xks.directory.findStore('/payments')?.findKey('one')?.kmsKeyArn
      const kmsKeyArn = 'arn:aws:kms:eu-west-1:111122223333:key/other'
      expect((await keyOf('xks key pin', { key: 'payments/one', kmsKeyArn })).kmsKeyArn).equal(
        kmsKeyArn,
      )
      expect(pinned()).equal(kmsKeyArn)
      await run('xks key pin', { key: 'payments/one' })
      expect(pinned()).equal(undefined)
    })

    it('rotates one; what the old material sealed opens still', async () => {
      const { custody } = await bridge.token()
      const aad = Buffer.from('aad')
      const find = () => xks.directory.findStore('/payments')?.findKey('one') ?? expect.fail('gone')
      const { current: before } = find()
      const sealed = await custody.encrypt(before, Buffer.from('text'), aad)
      expect((await keyOf('xks key rotate', { key: 'payments/one' })).materials).equal(2)
      expect(find().current).not.equal(before)
      const old = find().materials[0] ?? expect.fail('no old material')
      expect((await custody.decrypt(old, sealed, aad)).toString()).equal('text')
    })

    it('is in key show by its name, and not in key list', async () => {
      expect((await run('key show', { key: 'payments/one' })).text).include('payments/one')
      expect((await run('key list')).result).deep.equal([])
      expect((await run('xks key list', { store: 'payments' })).result).lengthOf(2)
      expect((await run('xks key list')).text).match(/^payments\/one .*\n?/m)
    })
  })

  describe('xks key adopt', () => {
    const old: ForeignKey = { id: 'a1a1', label: 'old-key' }

    it('takes a key by its label, counts what it may have encrypted, and says what it heard of it', async () => {
      visitToken(token, 'makeForeignKey', JSON.stringify(old))
      const given = { key: 'payments/old', label: 'old-key', from: 'aws-kms-xks-proxy' }
      let answer: { result: unknown; text: string } | undefined
      const [record] = await recordsOf(async () => {
        answer = await run('xks key adopt', given)
      })
      const { result, text } = answer ?? expect.fail('no answer')
      expect(record).to.have.property('eventName', 'AdoptExternalKey')
      expect(record?.requestParameters).include({ externalKeyId: 'old', adopted: true })
      expect(result).deep.include({ adopted: true, opensHashedAad: true, tokenLabel: 'old-key' })
      expect(text).include('always sensitive')
      const key = bridge.storage.snapshot.findExternalKey('payments', 'old') ?? expect.fail('gone')
      const [made] = bridge.storage.snapshot.materialsOf(key.arn)
      expect(made?.encryptionsReserved).equal(ROTATE_ENCRYPTIONS)
      expect(made?.material.objects).deep.equal([
        { role: 'cipher', tokenSerial: token.serial, keyType: 'AES', id: 'a1a1', foreign: true },
      ])
    })

    it('takes no object twice, and none that is a key of ours', async () => {
      const again = { key: 'payments/again', id: 'A1A1' }
      expect(await refusal('xks key adopt', again)).match(/already/)
      const key = bridge.storage.snapshot.findExternalKey('payments', 'one') ?? expect.fail('gone')
      const [made] = bridge.storage.snapshot.materialsOf(key.arn)
      const ours = { key: 'payments/again', id: made?.material.objects[0]?.id ?? '' }
      expect(await refusal('xks key adopt', ours)).match(/hsm-bridge|already/)
      expect(bridge.storage.snapshot.intents()).deep.equal([])
    })

    it('refuses what may leave, what was outside, what is not there, and a name for nothing', async () => {
      const extractable = { id: 'a2a2', label: 'leaves', changes: { EXTRACTABLE: true } }
      const imported = { id: 'a3a3', label: 'imported', imported: true }
      for (const key of [extractable, imported])
        visitToken(token, 'makeForeignKey', JSON.stringify(key))
      const adopt = (given: Given) => refusal('xks key adopt', { key: 'payments/bad', ...given })
      expect(await adopt({ label: 'leaves', acceptImported: true })).match(/EXTRACTABLE/)
      expect(await adopt({ label: 'imported' })).match(/import|LOCAL|NEVER/i)
      expect(await adopt({ label: 'none' })).match(/no key|none|not/)
      expect(await adopt({})).include('--id or --label')
      expect(await adopt({ id: 'xyz' })).include('hexadecimal')
      const given = { key: 'payments/imported', label: 'imported', acceptImported: true }
      expect(await keyOf('xks key adopt', given)).include({ adopted: true, opensHashedAad: false })
    })

    it('ARCH-D11: reconcile knows every key of ours, made and adopted', async () => {
      const { result } = await run('reconcile')
      expect(result).deep.include({ openIntents: [], unknownRecords: [], missingMaterials: [] })
    })

    it('reconcile lists keys of other programs and finds nothing wrong in them; leftovers it does', async () => {
      const row = ADMIN_COMMANDS.find(({ name }) => name === 'reconcile') ?? expect.fail('gone')
      const { result, text } = await run('reconcile')
      const foreignObjects = [{ id: 'a2a2', label: 'leaves' }]
      expect(result).deep.include({ unknownObjects: [], foreignObjects })
      expect(text).include('CKA_ID a2a2 leaves')
      expect(row.succeeded?.(result)).equal(true)
      const stray = { id: 'a4a4', label: 'hsm-bridge:stray' }
      visitToken(token, 'makeForeignKey', JSON.stringify(stray))
      const { result: found } = await run('reconcile')
      expect(found).deep.include({ unknownObjects: [{ ...stray, ours: true }], foreignObjects })
      expect(row.succeeded?.(found)).equal(false)
    })
  })

  describe('xks credential', () => {
    it('XKS A-05, XKS A-06: draws an id and a secret of the form that AWS KMS takes, never the same', async () => {
      const seen = new Set<string>()
      for (let i = 0; i < 20; i++) {
        const { result } = await run('xks credential add', { store: 'plain' })
        const { accessKeyId, secretAccessKey } = result as Record<string, string>
        expect(accessKeyId).match(/^[A-Z2-7]{20,30}$/)
        expect(secretAccessKey).match(/^[A-Za-z0-9/+=]{43,64}$/)
        expect(Buffer.from(secretAccessKey ?? '', 'base64').length * 8).at.least(256)
        seen.add(accessKeyId ?? '').add(secretAccessKey ?? '')
      }
      expect(seen.size).equal(40)
    })

    it('takes one from a private file, alone or as the console has it, and does not show its secret', async () => {
      const file = join(directory, 'own.json')
      writeFileSync(file, JSON.stringify(OWN), { mode: 0o600 })
      const { text, result } = await run('xks credential add', {
        store: 'payments',
        fromFile: file,
      })
      expect(result).include({ accessKeyId: OWN.AccessKeyId })
      expect(text).not.include(OWN.RawSecretAccessKey)
      const credential = xks.directory.findCredential(OWN.AccessKeyId)
      expect(credential?.secretAccessKey.reveal()).equal(OWN.RawSecretAccessKey)
      const [record] = await recordsOf(() =>
        run('xks credential remove', { 'access-key-id': OWN.AccessKeyId }),
      )
      const requestParameters = { storeName: 'payments', accessKeyId: OWN.AccessKeyId }
      const eventName = 'RemoveExternalKeyStoreCredential'
      expect(record).deep.include({ eventName, requestParameters, responseElements: null })
      expect(xks.directory.findCredential(OWN.AccessKeyId)).equal(undefined)
      const whole = { XksProxyUriPath: '/kms/xks/v1', XksProxyAuthenticationCredential: OWN }
      writeFileSync(file, JSON.stringify(whole))
      await run('xks credential add', { store: 'payments', fromFile: file })
      const again = { store: 'plain', fromFile: file }
      expect(await refusal('xks credential add', again)).include('of the store payments already')
    })

    it('XKS A-06, AT-S23: refuses ids and secrets of another form, without quoting the secret', async () => {
      const file = join(directory, 'bad.json')
      const wrong: readonly Partial<typeof OWN>[] = [
        { AccessKeyId: '' },
        { RawSecretAccessKey: '' },
        { AccessKeyId: 'A'.repeat(19) },
        { AccessKeyId: 'A'.repeat(31) },
        { AccessKeyId: 'abcdefghijklmnopqrst' },
        ...['0', '1', '8', '9'].map((digit) => ({ AccessKeyId: `ABCDEFGHIJKLMNOPQRS${digit}` })),
        { RawSecretAccessKey: 'x'.repeat(42) },
        { RawSecretAccessKey: 'x'.repeat(65) },
        { RawSecretAccessKey: `${'x'.repeat(42)}_` },
      ]
      for (const members of wrong) {
        writeFileSync(file, JSON.stringify({ ...OWN, ...members }), { mode: 0o600 })
        const told = await refusal('xks credential add', { store: 'plain', fromFile: file })
        expect(told, inspect(members)).include('must be')
        expect(told).not.include('x'.repeat(42))
      }
      writeFileSync(file, `{"RawSecretAccessKey": "${OWN.RawSecretAccessKey}`)
      expect(await refusal('xks credential add', { store: 'plain', fromFile: file })).equal(
        'the credential is not JSON',
      )
    })
  })

  describe('xks config-file', () => {
    const out = join(directory, 'console.json')

    it('XKS L-05: writes what the AWS console takes, closed to others, with a new credential', async () => {
      const { text } = await run('xks config-file', { store: 'payments', out })
      expect(statSync(out).mode & 0o777).equal(0o600)
      const written = JSON.parse(readFileSync(out, 'utf8'))
      expect(Object.keys(written)).deep.equal([
        'XksProxyUriPath',
        'XksProxyAuthenticationCredential',
      ])
      expect(written.XksProxyUriPath).match(/^(\/[a-zA-Z0-9/_-]+)?\/kms\/xks\/v\d{1,2}$/)
      const { AccessKeyId, RawSecretAccessKey } = written.XksProxyAuthenticationCredential
      expect(text).not.include(RawSecretAccessKey)
      const credential = xks.directory.findCredential(AccessKeyId)
      expect(credential?.secretAccessKey.reveal()).equal(RawSecretAccessKey)
    })

    it('overwrites nothing, and then makes no credential', async () => {
      const count = () => [...bridge.storage.snapshot.allXksCredentials()].length
      const before = count()
      expect(await refusal('xks config-file', { store: 'payments', out })).include('exists already')
      expect(await refusal('xks config-file', { store: 'none', out: `${out}.2` })).include('none')
      expect(existsSync(`${out}.2`)).equal(false)
      expect(count()).equal(before)
    })
  })

  describe('a configuration with stores', () => {
    const declared = (members: object = {}) => ({
      xks: {
        plainHttp: true,
        stores: [{ name: 'declared', uriPathPrefix: '/declared', ...members }],
      },
    })
    const store = () => xks.directory.findStore('/declared')

    it('puts them into storage at start, and again when they changed there', async () => {
      await close()
      configure(declared({ regions: ['eu-west-1'] }))
      await open()
      await xks.start()
      expect(store()).deep.include({ name: 'declared', enabled: true, regions: ['eu-west-1'] })
      const { version } = bridge.storage.snapshot
      await xks.start()
      expect(bridge.storage.snapshot.version).equal(version) // nothing to do, nothing written
      const record = bridge.storage.snapshot.findXksStore('declared') ?? expect.fail('gone')
      await bridge.storage.change((draft) => draft.putXksStore({ ...record, enabled: false }))
      await xks.start()
      expect(store()?.enabled).equal(true)
      expect(await refusal('xks store delete', { store: 'declared' })).include('declares the store')
      const words = `${configFile} declares the store declared: say \`enabled: false\` there, then reload`
      expect(await refusal('xks store disable', { store: 'declared' })).equal(words)
      expect(store()?.enabled).equal(true)
    })

    it('is read again by a word, with the TLS of the face', async () => {
      expect(await refusal('reload')).include('no daemon runs')
      const faces: string[] = []
      xks.listenForReload((config) => {
        faces.push(`read for ${config.stores.length}`)
        return () => faces.push('used')
      })
      configure({ ...declared({ enabled: false }), region: 'eu-central-1' })
      let result: unknown
      const records = await recordsOf(async () => {
        result = (await run('reload')).result
        await run('reload')
      })
      expect(result).deep.equal({ made: [], changed: ['declared'], afterRestart: ['region'] })
      const [first, second] = records.map(({ requestParameters }) => requestParameters)
      expect(records.map(({ eventName }) => eventName)).deep.equal(Array(2).fill(RELOAD))
      expect(first).deep.include({ made: [], changed: ['declared'] })
      expect(first).to.have.nested.property('stores[0].enabled', false)
      expect(second).deep.equal({ made: [], changed: [], stores: [] })
      expect(store()?.enabled).equal(false)
      expect(faces.slice(0, 2)).deep.equal(['read for 1', 'used'])
    })

    it('FM-F30: renews a certificate while storage is read-only, as long as no store differs', async () => {
      let renewed = 0
      xks.listenForReload(() => () => (renewed += 1))
      bridge.storage.setReadOnly('older than the token')
      try {
        const { result } = await run('reload')
        expect(result).deep.include({ made: [], changed: [] })
        expect(renewed).equal(1)
        configure(declared({ enabled: true }))
        expect(await refusal('reload')).equal('older than the token')
        expect(renewed).equal(1)
        configure({ ...declared({ enabled: false }), region: 'eu-central-1' })
        bridge.administration.deliver = () => Promise.reject(new Error('disk full'))
        expect(await refusal('reload'), 'ARCH-D14').equal('disk full')
        expect(renewed).equal(1)
      } finally {
        bridge.administration.deliver = (line) => audit.deliver(line)
        bridge.storage.setReadOnly(undefined)
        configure({ ...declared({ enabled: false }), region: 'eu-central-1' })
      }
    })

    it('a store is declared by the file as it was read last', async () => {
      xks.listenForReload()
      const { xks: section } = declared({ enabled: false })
      const second = { name: 'second', uriPathPrefix: '/second' }
      configure({ xks: { ...section, stores: [...section.stores, second] } })
      expect((await run('reload')).result).deep.include({ made: ['second'] })
      expect(await refusal('xks store delete', { store: 'second' })).include('declares the store')
      configure({ xks: section })
      expect(await refusal('xks store delete', { store: 'second' })).include('then reload')
      await run('reload')
      expect((await run('xks store delete', { store: 'second' })).text).include('is gone')
    })

    it('XKS U-10: two stores of the file swap their prefixes', async () => {
      xks.listenForReload()
      const both = (one: string, other: string) => ({
        xks: {
          plainHttp: true,
          stores: [
            { name: 'declared', uriPathPrefix: one, enabled: false },
            { name: 'second', uriPathPrefix: other },
          ],
        },
      })
      configure(both('/declared', '/second'))
      await run('reload')
      configure(both('/second', '/declared'))
      expect((await run('reload')).result).deep.include({ changed: ['declared', 'second'] })
      expect(store()?.name).equal('second')
      configure(both('/declared', '/second'))
      await run('reload')
      configure(declared({ enabled: false }))
      await run('reload')
      await run('xks store delete', { store: 'second' })
    })

    it('XKS Z-06: one that is wrong in anything changes nothing, and says where', async () => {
      const before = store()
      let used = 0
      xks.listenForReload(() => () => (used += 1))
      const wrong: readonly [object, RegExp][] = [
        [
          declared({ uriPathPrefix: 'no-slash' }),
          /config\.yaml:\d+:\d+ xks\.stores\.0\.uriPathPrefix/,
        ],
        [
          declared({ policyFile: join(directory, 'none.json') }),
          /policyFile: cannot read .*ENOENT/,
        ],
        [declared({ name: 'thief', uriPathPrefix: '/payments' }), /belongs to the store payments/],
        [{}, /cannot be taken away/],
      ]
      for (const [members, message] of wrong) {
        configure(members)
        expect(await refusal('reload')).match(message)
      }
      writeFileSync(policyFile, policyFor('not-a-principal'))
      configure(declared({ policyFile }))
      expect(await refusal('reload')).match(/stores\.0\.policyFile: .*the policy of declared/)
      xks.listenForReload(() => {
        throw new Error('the certificate has expired')
      })
      configure(declared({ enabled: true }))
      expect(await refusal('reload')).equal('the certificate has expired')
      expect(store()).equal(before)
      expect(used).equal(0)
    })
  })

  describe('at the end', () => {
    const database = join(directory, 'state/hsm-bridge.sqlite')
    const removeDatabase = () => {
      for (const end of ['', '-wal', '-shm']) rmSync(database + end, { force: true })
    }

    it('a seed makes stores, credentials and keys, and may be applied again', async () => {
      const file = join(directory, 'seed.yaml')
      const example = readFileSync(join(import.meta.dirname, '../../seed.example.yaml'), 'utf8')
      writeFileSync(file, example, { mode: 0o600 })
      const seed = readSeed(file)
      for (let time = 0; time < 2; time++) {
        await seedPrincipals(bridge, seed)
        await seedKeys(bridge, kms, seed)
      }
      const key = xks.directory.findStore('/demo')?.findKey('demo-key')
      expect(key).include({ enabled: true })
      expect(key?.materials).lengthOf(1)
      const [credential] = seed.xks?.stores[0]?.credentials ?? []
      const found = xks.directory.findCredential(credential?.accessKeyId ?? '')
      expect(found?.storeName).equal('demo')
      expect(inspect(seed, { depth: 9 })).not.include(found?.secretAccessKey.reveal())
    })

    it('XKS Z-05: rebuild of an older database disables its external keys, and finds a pin that was rotated', async () => {
      const older = join(directory, 'older.sqlite')
      await bridge.storage.backup(older)
      const { text } = await run('xks key pin', { key: 'payments/told', kmsKeyArn: PIN_ARN })
      expect(text).include('with the next material (xks key rotate)')
      await run('xks key rotate', { key: 'payments/told' })
      await run('xks key pin', { key: 'payments/one', kmsKeyArn: PIN_ARN })
      await close()
      removeDatabase()
      copyFileSync(older, database)
      await open()
      const rebuilt = await run('rebuild')
      const { externalKeys } = rebuilt.result as RebuiltKeys
      const pins = new Map(externalKeys.map(({ name, kmsKeyArn }) => [name, kmsKeyArn]))
      expect([pins.get('payments/told'), pins.get('payments/one')]).deep.equal([PIN_ARN, null])
      expect(rebuilt.text).match(/payments\/one +none[^]*They are Disabled: no later pin is known/)
      const keys = [...bridge.storage.snapshot.allKeys()].filter(({ external }) => external)
      expect(keys.map(({ state }) => state)).deep.equal(keys.map(() => 'Disabled'))
      for (const name of pins.keys()) await run('xks key enable', { key: name })
      expect((await run('rebuild')).result, 'once').deep.include({
        externalKeys: [],
        keysDisabled: [],
      })
    })

    it('FM-F29: rebuild lists the external keys to look at and those to rotate first', async () => {
      const { snapshot } = bridge.storage
      const names = [...snapshot.allKeys()].flatMap(({ external }) =>
        external ? [`${external.storeName}/${external.externalKeyId}`] : [],
      )
      await run('xks key pin', { key: 'payments/one', kmsKeyArn: PIN_ARN.replace('1234', '5678') })
      await close()
      removeDatabase()
      bridge = await Installation.open(around(), 'test')
      const { result, text } = await run('rebuild')
      const { externalKeys, keysToRotate } = result as RebuiltKeys
      expect(externalKeys.map(({ name }) => name)).deep.equal(names.toSorted())
      expect(keysToRotate).deep.equal(['payments/imported', 'payments/old'])
      expect(text)
        .match(/^payments\/one +arn:aws:kms:.*\n/m)
        .match(/^payments\/old +none/m)
      expect(text).include('look at pin and store policy of these, then: hsm-bridge xks key enable')
      expect(text).match(/encrypt nothing until[^]*xks key rotate payments\/old/)
      for (const { external, state } of bridge.storage.snapshot.allKeys())
        if (external) expect(state).equal('Disabled')
      const again = await run('rebuild')
      expect(again.result).deep.include({ externalKeys: [], keysToRotate })
      expect(again.text).not.include('xks key enable')

      const { custody } = await bridge.token()
      kms = createKms({ storage: bridge.storage, custody })
      await run('xks store create', { store: 'payments', uriPathPrefix: '/payments' })
      const old = bridge.storage.snapshot.findExternalKey('payments', 'old') ?? expect.fail('gone')
      const [adopted] = bridge.storage.snapshot.materialsOf(old.arn)
      const spent = await Promise.resolve(adopted && kms.budget.spend(adopted)).catch(
        (error: Error) => error.message,
      )
      expect(spent).include('Rotate the key')
      await run('xks key rotate', { key: 'payments/old' })
      expect((await run('rebuild')).result).deep.include({ keysToRotate: ['payments/imported'] })
    })

    it('ARCH-D7: a token without GCM inside is refused, with that reason', async () => {
      await close()
      configure({}, { profile: 'softhsm2-without-gcm' })
      await open()
      const words = /cannot back external keys: it computes no AES-GCM inside/
      expect(await refusal('xks key create', { key: 'payments/cbc' })).match(words)
      const adopt = { key: 'payments/cbc', label: 'old-key' }
      expect(await refusal('xks key adopt', adopt)).match(words)
    })
  })
})

function policyFor(principal: string): string {
  const statement = {
    Effect: 'Allow',
    Principal: principal === '*' ? '*' : { AWS: principal },
    Action: 'xks:*',
    Resource: '*',
  }
  return JSON.stringify({ Version: '2012-10-17', Statement: [statement] })
}
