import {
  CreateKeyCommand,
  DecryptCommand,
  EncryptCommand,
  ListKeysCommand,
} from '@aws-sdk/client-kms'
import { expect } from 'chai'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Reconciliation } from '../../src/daemon/reconcile.ts'
import { planOf } from '../../src/kms/key.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import { makeSoftHsmToken } from '../support/softhsm.ts'
import { eventually, isRunning, RunningInstallation } from './running-daemon.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const KEY_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

describe('daemon on its own SoftHSM2 token', () => {
  const bridge = new RunningInstallation(temporaryDirectory())
  const backup = join(temporaryDirectory(), 'backup.sqlite')
  let keyId = ''
  let ciphertext: Uint8Array

  after(() => bridge.end('SIGKILL'))

  async function decrypts(): Promise<void> {
    const { Plaintext } = await bridge
      .client()
      .send(new DecryptCommand({ CiphertextBlob: ciphertext }))
    expect(Buffer.from(Plaintext ?? []).toString()).equal('secret text')
  }

  it('makes everything on its first start and serves at once', async () => {
    await bridge.start()
    const created = await bridge.client().send(new CreateKeyCommand({ Description: 'first' }))
    keyId = created.KeyMetadata?.KeyId ?? ''
    expect(keyId).match(KEY_ID)
    const encrypted = await bridge
      .client()
      .send(new EncryptCommand({ KeyId: keyId, Plaintext: Buffer.from('secret text') }))
    ciphertext = encrypted.CiphertextBlob ?? new Uint8Array()
    await decrypts()
  })

  it('AT-K04: keeps every file of the state directory to itself', () => {
    for (const entry of readdirSync(bridge.directory, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      expect(statSync(path).mode & 0o077, path).equal(0)
    }
  })

  it('tells health, readiness by a use of the token, and metrics', async () => {
    expect(await bridge.ops('/livez')).include({ status: 200 })
    expect(await bridge.ops('/readyz')).include({ status: 200 })
    const { text } = await bridge.ops('/metrics')
    expect(text).match(/hsm_bridge_requests_total\{operation="Decrypt",outcome="\w+"\} [1-9]/)
    expect(text).match(/^hsm_bridge_lanes\{role="hot"\} [1-9]/m)
  })

  it('ARCH-D1: loads no PKCS#11 module into the front', () => {
    expect(readFileSync(`/proc/${bridge.pid}/maps`, 'utf8')).not.match(/softhsm|pkcs11\.node/)
  })

  it('AT-K03, AT-K05: opens no debugger on SIGUSR1 and hands no loader options to lanes', async () => {
    process.kill(bridge.pid, 'SIGUSR1')
    expect(await bridge.ops('/livez')).include({ status: 200 })
    expect(bridge.log).not.include('Debugger listening')
    for (const lane of bridge.lanes()) {
      const names = readFileSync(`/proc/${lane}/environ`, 'utf8')
        .split('\0')
        .map((pair) => pair.split('=')[0])
      expect(names).not.include.members(['LD_PRELOAD'])
      expect(names).not.include('NODE_OPTIONS')
      expect(names).include('SOFTHSM2_CONF')
    }
  })

  it('ARCH-D10, ARCH-D18: tells through the administration socket where a key lies, read live, with its proof', async () => {
    const where = await bridge.cli('key', 'where', keyId, '--json')
    expect(where.code, where.stderr).equal(0)
    const { materials } = where.json() as {
      materials: { token: { proofHolds: boolean; objects: object[] } }[]
    }
    expect(materials[0]?.token.proofHolds).equal(true)
    expect(materials[0]?.token.objects[0]).deep.property('attributes').include({
      sensitive: true,
      extractable: false,
      alwaysSensitive: true,
      neverExtractable: true,
      local: true,
    })
    expect(bridge.log).include('"command":"key where"')
  })

  it('tells of a ciphertext alone which key made it and whether it would open', async () => {
    const text = Buffer.from(ciphertext).toString('base64')
    const intact = await bridge.cli('blob', 'inspect', text, '--json')
    expect(intact.json()).include({ headerIntact: true, wouldOpen: true, keyState: 'Enabled' })
    expect(intact.json()).property('keyArn').include(keyId)
    const damaged = Buffer.from(ciphertext)
    damaged[5] = (damaged[5] ?? 0) ^ 1
    const answer = await bridge.cli('blob', 'inspect', damaged.toString('base64'), '--json')
    expect(answer.code).equal(1)
    expect(answer.json()).include({ headerIntact: false, wouldOpen: false })
  })

  it('passes its own doctor', async () => {
    const { code, stdout } = await bridge.cli('doctor')
    expect(code, stdout).equal(0)
    expect(stdout).not.include('✗')
  })

  it('makes a user whose permissions are its policies', async () => {
    const policyFile = join(bridge.directory, 'policy.json')
    const allow = { Effect: 'Allow', Action: 'kms:ListKeys', Resource: '*' }
    writeFileSync(policyFile, JSON.stringify({ Version: '2012-10-17', Statement: [allow] }))
    const argv = ['principal', 'create', '--account', '123456789012', '--name', 'reader', '--json']
    const made = await bridge.cli(...argv, '--policy-file', policyFile)
    expect(made.code, made.stderr).equal(0)
    const { accessKeyId, secretAccessKey } = made.json() as Record<string, string>
    const reader = bridge.clientOf(accessKeyId ?? '', secretAccessKey ?? '')
    expect((await reader.send(new ListKeysCommand({}))).Keys).lengthOf(1)
    expect(await errorName(reader.send(new DecryptCommand({ CiphertextBlob: ciphertext })))).equal(
      'AccessDeniedException',
    )
    rmSync(policyFile)
  })

  it('refuses a second daemon, and commands that need the database alone', async () => {
    const second = await bridge.cli('serve')
    expect([second.code, second.stderr]).deep.equal([1, second.stderr])
    expect(second.stderr).include(`pid ${bridge.pid}`)
    const rebuild = await bridge.cli('rebuild')
    expect(rebuild.code).equal(1)
    expect(rebuild.stderr).include('stop it')
  })

  it('FM-F48: drains on SIGTERM: exit code 0, nothing left running', async () => {
    const lanes = bridge.lanes()
    expect(lanes.length).greaterThan(1)
    expect(await bridge.end('SIGTERM')).equal(0)
    expect(lanes.filter(isRunning)).deep.equal([])
    expect(readdirSync(bridge.directory)).not.include('daemon.lock').and.not.include('admin.sock')
  })

  it('serves the command line without a daemon, and old ciphertexts after a restart', async () => {
    const list = await bridge.cli('key', 'list', '--json')
    expect((list.json() as { keyId: string }[]).map((key) => key.keyId)).deep.equal([keyId])
    expect((await bridge.cli('backup', '--to', backup)).code).equal(0)
    expect(statSync(backup).mode & 0o777).equal(0o600)
    await bridge.start()
    await decrypts()
  })

  it('leaves no lane behind when it is killed, and starts over the leftovers', async () => {
    await bridge.client().send(new CreateKeyCommand({ Description: 'second' }))
    const lanes = bridge.lanes()
    await bridge.end('SIGKILL')
    await eventually(() => lanes.filter(isRunning).length === 0)
    await bridge.start()
    await decrypts()
  })

  it('FM-F30: a restored older database serves what it knows, changes nothing and says so', async () => {
    await bridge.end('SIGTERM')
    expect((await bridge.cli('restore', '--from', backup)).code).equal(0)
    await bridge.start()
    await decrypts()
    expect(await errorName(bridge.client().send(new CreateKeyCommand({})))).equal(
      'KMSInvalidStateException',
    )
    expect(bridge.log).include('READ-ONLY')
    expect(await bridge.ops('/readyz')).include({ status: 200 })
    expect((await bridge.ops('/metrics')).text).match(/^hsm_bridge_read_only 1$/m)
  })

  it('FM-R9: reconcile lists what an older database does not know, and destroys none of it', async () => {
    for (const flags of [[], ['--destroy-uncommitted']]) {
      const answer = await bridge.cli('reconcile', '--json', ...flags)
      expect(answer.code).equal(1)
      const found = answer.json() as {
        unknownObjects: object[]
        unknownRecords: object[]
        destroyed: object[]
      }
      expect([
        found.unknownObjects.length,
        found.unknownRecords.length,
        found.destroyed.length,
      ]).deep.equal([1, 1, 0])
    }
  })

  it('FM-F29: rebuild brings an old database up to the token, and a lost one back', async () => {
    await bridge.end('SIGTERM')
    const rebuilt = await bridge.cli('rebuild', '--json')
    expect(rebuilt.json()).property('keysAdded').lengthOf(1)
    for (const suffix of ['', '-wal', '-shm'])
      rmSync(join(bridge.directory, `hsm-bridge.sqlite${suffix}`), { force: true })
    expect((await bridge.cli('serve')).code, 'FM-F33: an empty database').equal(78)
    const lost = await bridge.cli('rebuild', '--json')
    expect(lost.json()).property('keysAdded').lengthOf(2)
    expect((await bridge.cli('reconcile')).code).equal(0)
    await bridge.start()
    await decrypts()
    await bridge.client().send(new CreateKeyCommand({}))
  })

  it('ARCH-D7: after a rebuild a key rotates by itself, for nobody knows how often it encrypted', async () => {
    await bridge.client().send(new EncryptCommand({ KeyId: keyId, Plaintext: Buffer.from('x') }))
    await eventually(async () => {
      const { materials } = (await bridge.cli('key', 'show', keyId, '--json')).json() as {
        materials: object[]
      }
      return materials.length === 2
    })
    await decrypts()
  })

  it('FM-F21, FM-F25: after a crash, unfinished making is listed and taken back by word, unfinished destruction is finished', async () => {
    const client = bridge.client()
    const made = [
      await client.send(new CreateKeyCommand({})),
      await client.send(new CreateKeyCommand({})),
    ]
    const [makeArn = '', destroyArn = ''] = made.map(({ KeyMetadata }) => KeyMetadata?.Arn)
    await bridge.end('SIGTERM')
    await leaveUnfinished(join(bridge.directory, 'hsm-bridge.sqlite'), makeArn, destroyArn)

    const listed = (await bridge.cli('reconcile', '--json')).json() as Reconciliation
    expect(
      listed.openIntents.map(({ kind, leftover, objectsInToken }) => [
        kind,
        leftover,
        objectsInToken,
      ]),
    ).deep.equal([
      ['make', true, 1],
      ['destroy', true, 1],
    ])
    const taken = (
      await bridge.cli('reconcile', '--destroy-uncommitted', '--json')
    ).json() as Reconciliation
    expect(taken.destroyed).lengthOf(1)
    await bridge.start()
    await eventually(async () => {
      const { openIntents, unknownObjects } = (
        await bridge.cli('reconcile', '--json')
      ).json() as Reconciliation
      return openIntents.length + unknownObjects.length === 0
    })
    const arns = ((await bridge.cli('key', 'list', '--json')).json() as { arn: string }[]).map(
      ({ arn }) => arn,
    )
    expect(arns).not.include(makeArn).and.not.include(destroyArn)
    await decrypts()
  })

  it('FM-F33: a second database on the same token is refused, and nothing is made', async () => {
    await bridge.end('SIGTERM')
    const other = new RunningInstallation(temporaryDirectory())
    cpSync(join(bridge.directory, 'softhsm'), join(other.directory, 'softhsm'), { recursive: true })
    const conf = readFileSync(join(bridge.directory, 'softhsm/softhsm2.conf'), 'utf8')
    writeFileSync(
      join(other.directory, 'softhsm/softhsm2.conf'),
      conf.replaceAll(bridge.directory, other.directory),
    )
    const answer = await other.cli('init')
    expect(answer.code).equal(78)
    expect(answer.stderr).include('belongs to the database of instance')
  })

  it('ARCH-D4, FM-F09: a wrong PIN is tried once, whatever starts again, until it changes', async () => {
    const pinFile = join(bridge.directory, 'softhsm/pin')
    const right = readFileSync(pinFile, 'utf8')
    writeFileSync(pinFile, 'wrong')
    await bridge.start()
    expect(bridge.log).include('CKR_PIN_INCORRECT')
    expect(await bridge.ops('/readyz')).deep.equal({
      status: 503,
      text: 'not ready\ntoken: latched\n',
    })
    await bridge.end('SIGTERM')
    for (const argv of [['token', 'inspect'], ['reconcile']]) {
      const { stderr } = await bridge.cli(...argv)
      expect(stderr, 'the latch, not the token').match(/CKR_PIN_INCORRECT at .*token unlatch/)
    }
    const doctor = await bridge.cli('doctor')
    expect(doctor.stdout).include('✗ login latch')
    writeFileSync(pinFile, right)
    await bridge.start()
    await decrypts()
  })

  it('FM-F23: doctor tells of a token file that a lane found truncated and put back', async () => {
    await bridge.end('SIGTERM')
    const tokens = join(bridge.directory, 'softhsm/tokens')
    const [token = ''] = readdirSync(tokens)
    writeFileSync(join(tokens, token, 'token.object'), '')
    await bridge.start()
    await decrypts()
    expect((await bridge.cli('doctor')).stdout).match(
      /✗ token files: put back from our copy: .*token\.object/,
    )
  })
})

describe('daemon on a configured token', () => {
  const SEED_KEY = '1234abcd-12ab-34cd-56ef-1234567890ab'

  it('FM-F33: makes nothing in a token before init, and finds it by its label', async () => {
    const token = await makeSoftHsmToken()
    after(() => token.remove())
    const pinFile = join(token.dir, 'pin')
    chmodSync(pinFile, 0o600)
    const seedFile = join(token.dir, 'seed.yaml')
    writeFileSync(seedFile, seedOf(SEED_KEY), { mode: 0o600 })
    const state = join(token.dir, 'state')
    mkdirSync(state, { mode: 0o700 })
    const installation = new RunningInstallation(
      state,
      `token: {profile: softhsm2, label: ${token.label}, pinFile: ${pinFile}, environment: {SOFTHSM2_CONF: ${token.confPath}}}\nseed: ${seedFile}\n`,
    )
    after(() => installation.end('SIGKILL'))
    const early = await installation.cli('serve')
    expect(early.code).equal(78)
    expect(early.stderr).include('hsm-bridge init')
    expect((await installation.cli('init', '--account', '111122223333')).code).equal(0)
    const again = await installation.cli('init', '--json')
    expect(again.json()).deep.include({ made: [], tokenSerial: token.serial })

    for (const start of ['first', 'second']) {
      await installation.start()
      const alice = installation.clientOf(
        'AKIAIOSFODNN7EXAMPLE',
        'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
        'eu-central-1',
      )
      const KeyId = `arn:aws:kms:eu-central-1:111122223333:key/${SEED_KEY}`
      const { CiphertextBlob } = await alice.send(
        new EncryptCommand({ KeyId, Plaintext: Buffer.from(start) }),
      )
      expect(CiphertextBlob?.length).greaterThan(0)
      expect((await alice.send(new ListKeysCommand({}))).Keys).lengthOf(1)
      expect(await installation.end('SIGTERM')).equal(0)
    }
  })
})

function seedOf(keyId: string): string {
  return `accounts:
  '111122223333':
    principals:
      - name: alice
        accessKeyId: AKIAIOSFODNN7EXAMPLE
        secretAccessKey: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
        administrator: true
    keys:
      - keyId: ${keyId}
        region: eu-central-1
        description: seeded
`
}

/** The state of a database after a crash between intent and commit: of a creation, and of a destruction. */
async function leaveUnfinished(path: string, makeArn: string, destroyArn: string): Promise<void> {
  const storage = await openStorage({ path })
  await storage.change((draft) => {
    const created = draft.findKey(makeArn)
    const doomed = draft.findKey(destroyArn)
    const [material] = draft.materialsOf(makeArn)
    const [doomedMaterial] = draft.materialsOf(destroyArn)
    if (!created || !doomed || !material || !doomedMaterial) throw new Error('there is no such key')
    const { keyId, accountId, region, keySpec, keyUsage, origin } = created
    const { lineage, createdAt } = material
    draft.buryKey({ arn: makeArn, accountId, region, keyId, destroyedAt: 0, materialIds: [] })
    draft.putIntent({
      kind: 'make',
      intentId: 'make',
      keyArn: makeArn,
      purpose: 'create',
      plan: planOf(material.material),
      origin: { keyId, accountId, region, keySpec, keyUsage, origin, lineage, createdAt },
      createdAt,
    })
    draft.putKey({ ...doomed, state: 'Destroying' })
    draft.putIntent({
      kind: 'destroy',
      intentId: 'destroy',
      keyArn: destroyArn,
      plans: [planOf(doomedMaterial.material)],
      lineage: draft.nextLineage(),
      createdAt,
    })
  })
  await storage.close()
}

async function errorName(sent: Promise<unknown>): Promise<string> {
  try {
    await sent
  } catch (error) {
    return (error as Error).name
  }
  return 'no error'
}
