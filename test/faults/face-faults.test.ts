import { randomBytes } from 'node:crypto'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { parseCiphertextBlob } from '../../src/kms/ciphertext-blob.ts'
import { DaemonUnderTest, eventually, PATIENT } from '../support/daemon-under-test.ts'
import { ENOUGH_FOR_NEW_IVS } from '../support/fault-module.ts'
import { KmsClient, outcomeOf } from '../support/kms-client.ts'

const LOOK_MS = 1000
const TEACHING_MS = 2500
/** FM-R11: so long is a canary that worked believed. */
const EVIDENCE_HOLDS_MS = 1100
/** What a client may hear while a token is in trouble. Nothing else: neither the key nor the ciphertext is to blame. */
const TROUBLE = ['KeyUnavailableException', 'KMSInternalException', 'DependencyTimeoutException']

describe('KMS face while the token misbehaves', function () {
  this.timeout(60_000)
  let daemon: DaemonUnderTest
  let kms: KmsClient
  let keyId: string
  let otherKeyId: string
  const plaintext = Buffer.from('good')
  let blob: string

  before(async () => {
    daemon = await DaemonUnderTest.start({ faults: { record: false }, profile: PATIENT })
    kms = new KmsClient(daemon.endpoint())
    keyId = await kms.createKey()
    otherKeyId = await kms.createKey()
    blob = await kms.encrypt(keyId, plaintext)
    await pause(TEACHING_MS)
  })
  after(() => daemon.stop())
  beforeEach(async () => {
    daemon.faults.clear()
    await daemon.whole()
  })

  const readyStatus = async () => (await fetch(`${daemon.ops}/readyz`)).status
  const decrypts = async () => expect(await kms.decrypt(blob)).deep.equal(plaintext)

  it('FM-F04: a token directory that vanishes is trouble, never a missing key or a bad ciphertext, and needs no restart', async () => {
    const away = `${daemon.token.tokenDirectory}.away`
    const pid = daemon.pid
    renameSync(daemon.token.tokenDirectory, away)
    const goneAt = Date.now()
    const heard = new Set<string>()
    let notReadyAfterMs: number | undefined
    try {
      while (Date.now() - goneAt < 3 * LOOK_MS) {
        heard.add(await outcomeOf(kms.decrypt(blob)))
        heard.add(await outcomeOf(kms.encrypt(otherKeyId, plaintext)))
        if ((await readyStatus()) === 503) notReadyAfterMs ??= Date.now() - goneAt
        await pause(LOOK_MS / 20)
      }
    } finally {
      renameSync(away, daemon.token.tokenDirectory)
    }
    heard.delete('ok') // SoftHSM2 goes on for a moment with the objects that it has read
    expect(heard.size).greaterThan(0)
    expect(TROUBLE).include.members([...heard])
    expect(notReadyAfterMs).lessThan(5000)
    await eventually(
      async () => (await readyStatus()) === 200,
      () => daemon.log(),
      5000,
    )
    await decrypts()
    expect(daemon.pid).equal(pid)
  })

  it('FM-F02: while the device is gone answers are quick, and within 2 s of its return it serves', async () => {
    daemon.faults.rules(['* rv=0x30'])
    await eventually(
      async () => {
        await outcomeOf(kms.decrypt(blob)) // whoever uses it notices
        return (await daemon.lanes()).state === 'down'
      },
      () => daemon.log(),
    )
    const asked = performance.now()
    expect(await outcomeOf(kms.decrypt(blob))).equal('KeyUnavailableException')
    expect(performance.now() - asked).lessThan(100)
    expect(await readyStatus()).equal(503)
    daemon.faults.clear()
    await eventually(
      async () => (await outcomeOf(kms.decrypt(blob))) === 'ok',
      () => daemon.log(),
      2000,
    )
  })

  it('ARCH-D10: a bad ciphertext is called bad while canary and key work, and not while the token is in trouble', async () => {
    const bad = Buffer.from(blob, 'base64')
    bad[bad.length - 1] = (bad.at(-1) ?? 0) ^ 1
    expect(await outcomeOf(kms.decrypt(bad.toString('base64')))).equal('InvalidCiphertextException')
    await pause(EVIDENCE_HOLDS_MS)
    daemon.faults.rules(['C_Decrypt rv=0x5 lane=hot'])
    expect(await outcomeOf(kms.decrypt(bad.toString('base64')))).equal('KeyUnavailableException')
  })

  it('ARCH-D10: CKR_GENERAL_ERROR of every C_Encrypt is our trouble, not the caller’s', async () => {
    daemon.faults.rules(['C_Encrypt rv=0x5 lane=hot'])
    expect(await outcomeOf(kms.encrypt(keyId, plaintext))).equal('KMSInternalException')
    daemon.faults.clear()
    await decrypts()
  })

  it('FM-F08: lanes in which handles name other keys use none of them', async () => {
    for (const pid of daemon.lanePids('hot')) process.kill(pid, 'SIGKILL')
    daemon.faults.rules(['C_DecryptInit swaphandle lane=hot', 'C_EncryptInit swaphandle lane=hot'])
    await pause(500)
    const made: string[] = []
    const heard = new Set<string>()
    for (let i = 0; i < 6; i += 1) {
      const attempt = kms.encrypt(i % 2 === 0 ? keyId : otherKeyId, plaintext)
      heard.add(await outcomeOf(attempt))
      await attempt.then((it) => made.push(it)).catch(() => {})
    }
    daemon.faults.clear()
    await daemon.whole()
    heard.delete('ok')
    expect(heard.size).greaterThan(0)
    expect(TROUBLE).include.members([...heard])
    for (const ciphertext of made) expect(await kms.decrypt(ciphertext)).deep.equal(plaintext)
  })

  it('FM-F43: a token that repeats its random bytes makes no two ciphertexts under one IV', async () => {
    const { replaced } = await daemon.lanes()
    daemon.faults.rules(['C_GenerateRandom repeatrandom lane=hot'])
    const made: string[] = []
    const heard = new Set<string>()
    for (let i = 0; i < ENOUGH_FOR_NEW_IVS; i += 1) {
      const attempt = kms.encrypt(keyId, plaintext)
      heard.add(await outcomeOf(attempt))
      await attempt.then((it) => made.push(it)).catch(() => {})
    }
    const ivs = made.map((it) => ivOf(it))
    expect(new Set(ivs).size).equal(ivs.length)
    expect((await daemon.lanes()).replaced).greaterThan(replaced)
    heard.delete('ok') // a lane that has given its first bytes only
    expect(TROUBLE).include.members([...heard])
    daemon.faults.clear()
    await daemon.whole()
    await kms.encrypt(keyId, plaintext)
  })

  it('FM-F43: zeros instead of random bytes make no ciphertext', async () => {
    daemon.faults.rules(['C_GenerateRandom zerorandom lane=hot'])
    let outcome = 'ok'
    for (let i = 0; i < ENOUGH_FOR_NEW_IVS && outcome === 'ok'; i += 1)
      outcome = await outcomeOf(kms.encrypt(keyId, plaintext))
    expect(outcome).equal('KeyUnavailableException')
  })

  // What is promised of a token that computes wrongly: nobody gets other bytes than were encrypted. Encrypt does not read
  // back what it made, so such a ciphertext is noticed when it is opened.
  it('a bit that the token flips in a ciphertext never becomes a wrong plaintext', async () => {
    const secret = randomBytes(32)
    for (let bit = 0; bit < 8; bit += 1) {
      daemon.faults.rules([`C_Encrypt flip=${bit * 41} lane=hot count=1`])
      const damaged = await kms.encrypt(keyId, secret)
      expect(await outcomeOf(kms.decrypt(damaged))).equal('InvalidCiphertextException')
    }
    daemon.faults.clear()
    expect(await kms.decrypt(await kms.encrypt(keyId, secret))).deep.equal(secret)
  })

  it('FM-F19: a token that is full fails CreateKey cleanly: no key, no leftover, and the others work', async () => {
    const objects = (await reconciled()).objects
    daemon.faults.rules(['C_GenerateKey rv=0x31 lane=cold'])
    expect(await outcomeOf(kms.createKey())).equal('ThrottlingException')
    daemon.faults.clear()
    expect(await reconciled()).deep.equal({ leftovers: 0, objects })
    await decrypts()
  })

  it('FM-F19: a token that fills up while the record is written keeps no key without one', async () => {
    daemon.faults.rules(['C_CreateObject rv=0x31 lane=cold count=1'])
    expect(await outcomeOf(kms.createKey())).equal('ThrottlingException')
    daemon.faults.clear()
    expect((await reconciled()).leftovers).equal(0)
  })

  async function reconciled(): Promise<{ leftovers: number; objects: number }> {
    const found = JSON.parse(await daemon.cli('reconcile', '--json')) as Record<string, unknown[]>
    const leftovers = Object.values(found).reduce((sum, list) => sum + list.length, 0)
    const inspected = JSON.parse(await daemon.cli('token', 'inspect', '--json')) as {
      secretKeys: number
      dataObjects: number
    }
    return { leftovers, objects: inspected.secretKeys + inspected.dataObjects }
  }
})

describe('ARCH-D4: daemons on a token with a wrong PIN', function () {
  this.timeout(120_000)

  it('FM-F10: 20 restarts are exactly one C_Login', async () => {
    const daemon = await DaemonUnderTest.prepare({ faults: true })
    try {
      writeFileSync(join(daemon.token.dir, 'pin'), 'not the PIN')
      daemon.faults.forgetCalls()
      for (let start = 0; start < 20; start += 1) {
        await daemon.launch()
        await daemon.killGroup() // as a supervisor that loses its patience does
      }
      expect(daemon.faults.countCalls('C_Login')).equal(1)
    } finally {
      await daemon.stop()
    }
  })
})

function ivOf(ciphertext: string): string {
  return parseCiphertextBlob(Buffer.from(ciphertext, 'base64')).sealed.iv.toString('hex')
}
