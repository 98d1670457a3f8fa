import { randomUUID } from 'node:crypto'
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import type { Reconciliation } from '../../src/daemon/reconcile.ts'
import { stateDirectory } from '../../src/daemon/state-directory.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import { DaemonUnderTest, PATIENT } from '../support/daemon-under-test.ts'
import { KeptCiphertexts } from '../support/kept-ciphertexts.ts'
import { KmsClient, outcomeOf } from '../support/kms-client.ts'
import { visitToken } from '../support/token-visitor.ts'

/**
 * A SoftHSM2 object file whose writer was killed behind the first attribute: generation 1, then CKA_TOKEN, a boolean, true.
 * Without CKA_CLASS every C_GetAttributeValue on it is CKR_ATTRIBUTE_VALUE_INVALID.
 */
const BEGINNING_OF_AN_OBJECT = Buffer.from(
  '0000000000000001' + '0000000000000001' + '0000000000000001' + '01',
  'hex',
)

describe('drills with the database', function () {
  this.timeout(60_000)
  let daemon: DaemonUnderTest
  let kept: KeptCiphertexts
  let keyId: string

  beforeEach(async () => {
    daemon = await DaemonUnderTest.start({ faults: { record: false }, profile: PATIENT })
    kept = new KeptCiphertexts()
    keyId = await kms().createKey()
    await kept.add(kms(), keyId)
    await kms().rotate(keyId)
    await kept.add(kms(), keyId)
  })
  afterEach(() => daemon.stop())

  const kms = () => new KmsClient(daemon.endpoint())

  /** One more key, and one more material of the first. */
  async function changeMore(): Promise<void> {
    await kept.add(kms(), await kms().createKey())
    await kms().rotate(keyId)
    await kept.add(kms(), keyId)
  }

  function loseDatabase(): void {
    for (const name of readdirSync(daemon.state))
      if (name.startsWith('hsm-bridge.sqlite')) rmSync(join(daemon.state, name))
  }

  /** What a command prints; with code 1 it has bad news. */
  function printed(...argv: string[]): Promise<string> {
    return daemon.cli(...argv).catch((error: { stdout: string }) => error.stdout)
  }

  async function reconcile(...flags: string[]): Promise<Reconciliation> {
    return JSON.parse(await printed('reconcile', '--json', ...flags)) as Reconciliation
  }

  async function objectsInToken(): Promise<number> {
    const shown = JSON.parse(await printed('token', 'inspect', '--json')) as {
      secretKeys: number
      dataObjects: number
    }
    return shown.secretKeys + shown.dataObjects
  }

  it('FM-F29: lost: serving is refused, rebuild brings every key back, and every old ciphertext opens', async () => {
    await changeMore()
    await daemon.terminate()
    loseDatabase()
    const refused = await daemon.launch().catch((error: Error) => error)
    expect(String(refused)).match(/hsm-bridge: .*(init|rebuild)/)
    await daemon.cli('rebuild')
    await daemon.serve()
    await kept.assertAllOpen(kms())
    await changeMore() // and changes are possible
    await kept.assertAllOpen(kms())
    expect(Object.values(await reconcile()).flat()).deep.equal([])
  })

  it('FM-F30, FM-R9: older than the token: uses go on, changes are refused, nothing is destroyed, and rebuild cures it', async () => {
    const doomed = await kms().createKey()
    await kms().scheduleDeletion(doomed)
    const backup = join(daemon.directory, 'backup.sqlite')
    await daemon.cli('backup', '--to', backup)
    const old = kept.length
    await changeMore()
    await daemon.terminate()
    await daemon.cli('restore', '--from', backup)
    await endWaitingPeriod(doomed)
    const objects = await objectsInToken()

    await daemon.serve()
    const outcomes = await kept.outcomes(kms())
    expect(outcomes.slice(0, old)).deep.equal(Array(old).fill('ok'))
    // Of what it does not know it says what AWS says of a key that is not there for this caller.
    expect(new Set(outcomes.slice(old))).deep.equal(new Set(['AccessDeniedException']))
    expect(await outcomeOf(kms().createKey())).equal('KMSInvalidStateException')
    expect(await outcomeOf(kms().rotate(keyId))).equal('KMSInvalidStateException')
    expect(await outcomeOf(kms().scheduleDeletion(keyId))).equal('KMSInvalidStateException')
    await reconcile('--destroy-uncommitted')
    expect(await objectsInToken()).equal(objects)
    expect(await kms().describeKey(doomed)).property('KeyState', 'PendingDeletion')

    await daemon.terminate()
    await daemon.cli('rebuild')
    await daemon.serve()
    await kept.assertAllOpen(kms())
    await changeMore()
    await kept.assertAllOpen(kms())
  })

  it('backup and restore are a round trip while nothing changed in between', async () => {
    const backup = join(daemon.directory, 'backup.sqlite')
    await daemon.cli('backup', '--to', backup)
    await daemon.terminate()
    loseDatabase()
    await daemon.cli('restore', '--from', backup)
    await daemon.serve()
    await kept.assertAllOpen(kms())
    await changeMore()
    await kept.assertAllOpen(kms())
  })

  it('FM-F33: a second database on the same token is refused, makes nothing, and the first one goes on', async () => {
    const objects = await objectsInToken()
    const second = await DaemonUnderTest.prepare({ token: daemon.token }).catch((error) => error)
    expect(second).property('code', 78)
    expect(second).property('stderr').include('belongs to the database of instance')
    expect(await objectsInToken()).equal(objects)
    await changeMore()
    await kept.assertAllOpen(kms())
  })

  it('FM-F21: a key whose record was written and whose maker then died is listed by its intent alone, and can be cleared', async () => {
    const objects = await objectsInToken()
    daemon.faults.rules(['C_CreateObject kill9post lane=cold count=1'])
    expect(await outcomeOf(kms().createKey())).equal('KeyUnavailableException')
    daemon.faults.clear()
    await daemon.whole()
    expect(await objectsInToken()).equal(objects + 2)
    await daemon.terminate()
    await daemon.serve()
    const found = await reconcile()
    expect(found.openIntents).lengthOf(1)
    expect(found.openIntents[0]).include({ kind: 'make', leftover: true, objectsInToken: 1 })
    expect([...found.unknownObjects, ...found.unknownRecords]).deep.equal([])
    await reconcile('--destroy-uncommitted')
    expect(Object.values(await reconcile()).flat()).deep.equal([])
    expect(await objectsInToken()).equal(objects)
    await kept.assertAllOpen(kms())
  })

  it('FM-F22: an object without any name, as an interrupted write leaves it, is listed and left alone', async () => {
    visitToken(daemon.token, 'leaveBareObject')
    const objects = await objectsInToken()
    for (const flags of [[], ['--destroy-uncommitted']]) {
      const found = await reconcile(...flags)
      expect(found.unknownObjects).deep.equal([{ id: '', label: '', ours: false }])
    }
    expect(await objectsInToken()).equal(objects)
  })

  it('FM-F22: an object of which only the beginning was written stops nothing, and is listed', async () => {
    await daemon.terminate()
    const [token = ''] = readdirSync(daemon.token.tokenDirectory)
    const path = join(daemon.token.tokenDirectory, token, randomUUID())
    writeFileSync(`${path}.object`, BEGINNING_OF_AN_OBJECT)
    writeFileSync(`${path}.lock`, '')
    await daemon.serve()
    await changeMore()
    await kept.assertAllOpen(kms())
    expect((await reconcile()).unknownObjects).deep.equal([{ id: '', label: '', ours: false }])
  })

  /** A week cannot be waited for: it is over in the database of a daemon that does not run. */
  async function endWaitingPeriod(ofKey: string): Promise<void> {
    const storage = await openStorage({ path: stateDirectory(daemon.state).database })
    await storage.change((draft) => {
      for (const key of storage.snapshot.allKeys())
        if (key.keyId === ofKey) draft.putKey({ ...key, deletionAt: key.createdAt })
    })
    await storage.close()
  }
})
