import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { eventually, PATIENT } from '../support/daemon-under-test.ts'
import { ENOUGH_FOR_NEW_IVS } from '../support/fault-module.ts'
import { outcomeOf } from '../support/kms-client.ts'
import { median } from '../support/percentiles.ts'
import { XksClient, XksRefusal } from '../support/xks-client.ts'
import { XksDaemonUnderTest } from '../support/xks-daemon.ts'
import type { XksAnswer } from '../support/xks-request.ts'

const KEY = 'key'
const TEACHING_MS = 2500
/** FM-R11: so long is a canary that worked believed. */
const EVIDENCE_HOLDS_MS = 1100
/** FM-R11: so long after evidence a refusal is not tried again. */
const REFUSAL_BELIEVED_MS = 150
const SICK_WITHIN_MS = 5000
const WELL_WITHIN_MS = 2000
/** XKS X-16: what may be heard of a token in trouble. */
const TROUBLE = ['InternalException', 'DependencyTimeoutException']
const CKR = {
  GENERAL_ERROR: 0x5,
  DEVICE_ERROR: 0x30,
  DEVICE_MEMORY: 0x31,
  ENCRYPTED_DATA_INVALID: 0x40,
  KEY_HANDLE_INVALID: 0x60,
} as const

describe('XKS face while the token misbehaves', function () {
  this.timeout(60_000)
  let bridge: XksDaemonUnderTest
  let xks: XksClient
  let sealed: XksAnswer['body']
  const plaintext = randomBytes(32)

  before(async () => {
    bridge = await XksDaemonUnderTest.start({ faults: { record: false }, profile: PATIENT })
    await bridge.createKey(KEY)
    xks = new XksClient(bridge.endpoint())
    sealed = await xks.encrypt(KEY, plaintext)
    await pause(TEACHING_MS)
  })
  after(() => bridge.stop())
  beforeEach(async () => {
    bridge.daemon.faults.clear()
    await bridge.daemon.whole()
    expect(await xks.decrypt(KEY, sealed)).deep.equal(plaintext)
  })

  const rules = (...lines: string[]) => bridge.daemon.faults.rules(lines)
  const encrypts = () => outcomeOf(xks.encrypt(KEY, plaintext))
  const decrypts = () => outcomeOf(xks.decrypt(KEY, sealed))

  describe('and computes wrongly', () => {
    const lie = 'C_Encrypt flip=77'
    const change = 'C_Decrypt flip=77'

    for (const [title, rule] of Object.entries({
      'XKS E-15: a bit flipped in a ciphertext': lie,
      'XKS E-16: a bit flipped in what is decrypted to verify': change,
    })) {
      it(`${title} by one lane is never answered, and the other lane answers`, async () => {
        const { replaced } = await bridge.daemon.lanes()
        for (const victim of bridge.daemon.lanePids('hot')) {
          rules(`${rule} pid=${victim}`)
          const made: XksAnswer['body'][] = []
          for (let i = 0; i < 5 && bridge.daemon.lanePids('hot').includes(victim); i += 1)
            made.push(
              ...(await Promise.all(Array.from({ length: 8 }, () => xks.encrypt(KEY, plaintext)))),
            )
          bridge.daemon.faults.clear()
          for (const it of made) expect(await xks.decrypt(KEY, it)).deep.equal(plaintext)
          await bridge.daemon.whole()
        }
        expect((await bridge.daemon.lanes()).replaced).within(replaced + 2, replaced + 3) // one was the spare
        expect(bridge.daemon.log()).match(/lane replaced.*TOKEN_LIED/) // who runs it must hear of such a token
      })

      it(`${title} by all lanes is InternalException, and no ciphertext`, async () => {
        rules(`${rule} lane=hot`)
        const first = await refusalOf(xks.encrypt(KEY, plaintext))
        expect(first).include({ name: 'InternalException', status: 500 })
        for (let i = 0; i < 3; i += 1) expect(TROUBLE).include(await encrypts()) // lanes are being replaced
      })
    }

    it('XKS E-15: a single wrong ciphertext costs no request, wherever the bit is', async () => {
      for (let bit = 0; bit < 384; bit += 131) {
        rules(`C_Encrypt flip=${bit} lane=hot count=1`)
        const made = await xks.encrypt(KEY, plaintext)
        bridge.daemon.faults.clear()
        expect(await xks.decrypt(KEY, made)).deep.equal(plaintext)
        await bridge.daemon.whole()
      }
    })

    it('XKS E-06: a ciphertext that is too short is not answered', async () => {
      rules('C_Encrypt short=1 lane=hot')
      expect(await encrypts()).equal('InternalException')
    })

    it('XKS D-09: a plaintext that is too short is not answered', async () => {
      rules('C_Decrypt short=1 lane=hot')
      expect(await decrypts()).equal('InternalException')
    })

    it('XKS E-08: an IV of zeros is not answered', async () => {
      rules('C_GenerateRandom zerorandom lane=hot')
      let outcome = 'ok'
      for (let i = 0; i < ENOUGH_FOR_NEW_IVS && outcome === 'ok'; i += 1) outcome = await encrypts()
      expect(outcome).equal('InternalException')
    })
  })

  describe('XKS X-16: absence and corruption are told on evidence only', () => {
    const bad = (): XksAnswer['body'] => {
      const tag = Buffer.from(String(sealed['authenticationTag']), 'base64')
      tag[0] = (tag[0] ?? 0) ^ 1
      return { ...sealed, authenticationTag: tag.toString('base64') }
    }

    it('a bad ciphertext is bad while the token works, and not while it is in trouble', async () => {
      expect(await outcomeOf(xks.decrypt(KEY, bad()))).equal('InvalidCiphertextException')
      await pause(EVIDENCE_HOLDS_MS)
      rules(`C_Decrypt rv=${CKR.GENERAL_ERROR} lane=hot`)
      expect(await outcomeOf(xks.decrypt(KEY, bad()))).equal('InternalException')
    })

    it('objects that have vanished are trouble, never a missing key', async () => {
      rules('C_FindObjects dropfound lane=hot')
      for (const pid of bridge.daemon.lanePids('hot')) process.kill(pid, 'SIGKILL')
      const heard = new Set<string>()
      for (const until = Date.now() + 700; Date.now() < until; await pause(50)) {
        heard.add(await decrypts())
        heard.add(await encrypts())
      }
      expect(heard).not.include('ok')
      expect(TROUBLE).include.members([...heard])
      bridge.daemon.faults.clear()
      await becomesWell(xks)
    })

    it('a key that no search finds is trouble, never a missing key', async () => {
      rules(
        'C_FindObjects dropfound lane=hot',
        `C_DecryptInit rv=${CKR.KEY_HANDLE_INVALID} lane=hot`,
      )
      const heard = new Set<string>()
      for (let i = 0; i < 4; i += 1) heard.add(await decrypts())
      expect(TROUBLE).include.members([...heard])
    })

    for (const { call, name } of [
      { call: 'C_Encrypt', name: 'GENERAL_ERROR' },
      { call: 'C_Encrypt', name: 'DEVICE_ERROR' },
      { call: 'C_Decrypt', name: 'GENERAL_ERROR' },
      { call: 'C_Decrypt', name: 'ENCRYPTED_DATA_INVALID' },
      { call: 'C_DecryptInit', name: 'KEY_HANDLE_INVALID' },
    ] as const) {
      it(`CKR_${name} of ${call} once costs nothing, and always it is trouble`, async () => {
        const use = call === 'C_Encrypt' ? encrypts : decrypts
        await pause(REFUSAL_BELIEVED_MS)
        rules(`${call} rv=${CKR[name]} lane=hot count=1`)
        expect(await use()).equal('ok')
        await pause(REFUSAL_BELIEVED_MS)
        rules(`${call} rv=${CKR[name]} lane=hot`)
        expect(TROUBLE).include(await use())
      })
    }
  })

  it('XKS X-09: a token without room is ThrottlingException', async () => {
    rules(`C_Encrypt rv=${CKR.DEVICE_MEMORY} lane=hot`)
    const refusal = await refusalOf(xks.encrypt(KEY, plaintext))
    expect(refusal).include({ name: 'ThrottlingException', status: 429 })
  })

  it('XKS H-01: a token that tells of itself and encrypts nothing is not ACTIVE', async () => {
    expect(await xks.health()).equal('ACTIVE')
    rules(`C_Encrypt rv=${CKR.DEVICE_ERROR} lane=hot`)
    await isSaid(xks, 'UNAVAILABLE', SICK_WITHIN_MS)
    bridge.daemon.faults.clear()
    await becomesWell(xks)
  })
})

describe('XKS face while the token answers late or not at all', function () {
  this.timeout(60_000)
  let bridge: XksDaemonUnderTest
  let xks: XksClient
  const plaintext = randomBytes(32)

  before(async () => {
    bridge = await XksDaemonUnderTest.start({ faults: { record: false } })
    await bridge.createKey(KEY)
    xks = new XksClient(bridge.endpoint())
    await xks.encrypt(KEY, plaintext)
  })
  after(() => bridge.stop())
  beforeEach(async () => {
    bridge.daemon.faults.clear()
    await bridge.daemon.whole()
    await isSaid(xks, 'ACTIVE', SICK_WITHIN_MS)
  })

  it('XKS X-11: a token that takes 300 ms is DependencyTimeoutException within 250 ms', async () => {
    bridge.daemon.faults.rules(['C_Encrypt delay=300 lane=hot'])
    const began = performance.now()
    const refusal = await refusalOf(xks.encrypt(KEY, plaintext))
    expect(performance.now() - began).lessThan(250)
    expect(refusal).include({ name: 'DependencyTimeoutException', status: 503 })
  })

  it('XKS H-11, XKS H-12: with every call hung health answers at once, and all is well within 2 s after', async () => {
    const { pid } = bridge.daemon
    const hang = bridge.daemon.faults.hang('everything')
    bridge.daemon.faults.rules([`* hang=${hang.path}`])
    const { tookMs, heard } = await sickness(xks, plaintext)
    expect(TROUBLE).include.members(heard)
    expect(median(tookMs)).lessThan(20)
    expect(Math.max(...tookMs)).lessThan(250)
    bridge.daemon.faults.clear()
    hang.release()
    await becomesWell(xks)
    expect(await outcomeOf(xks.encrypt(KEY, plaintext))).equal('ok')
    expect(bridge.daemon.pid).equal(pid)
  })

  it('XKS H-11, XKS H-12: with the device gone health answers at once, and all is well within 2 s after', async () => {
    const { pid } = bridge.daemon
    bridge.daemon.faults.rules([`* rv=${CKR.DEVICE_ERROR}`])
    const { tookMs, heard } = await sickness(xks, plaintext)
    expect(TROUBLE).include.members(heard)
    expect(median(tookMs)).lessThan(20)
    expect(Math.max(...tookMs)).lessThan(250)
    bridge.daemon.faults.clear()
    await becomesWell(xks)
    expect(await outcomeOf(xks.encrypt(KEY, plaintext))).equal('ok')
    expect(bridge.daemon.pid).equal(pid)
  })

  it('XKS H-11: started with a dead token it answers health, and uses of keys with 500 or 503', async () => {
    await bridge.daemon.terminate()
    bridge.daemon.faults.rules([`* rv=${CKR.DEVICE_ERROR}`])
    await bridge.daemon.launch()
    xks = new XksClient(bridge.endpoint())
    expect(await xks.health()).equal('UNAVAILABLE')
    const refusal = await refusalOf(xks.encrypt(KEY, plaintext))
    expect(refusal.status).oneOf([500, 503])
    expect(await xks.metadata(KEY)).include({ keyStatus: 'ENABLED' })
    bridge.daemon.faults.clear()
    await becomesWell(xks)
    expect(await outcomeOf(xks.encrypt(KEY, plaintext))).equal('ok')
  })
})

/** Asks for health until the token is said to be unavailable and a while longer, and uses a key beside. */
async function sickness(xks: XksClient, plaintext: Buffer) {
  const tookMs: number[] = []
  const heard = new Set<string>()
  const uses: Promise<void>[] = []
  const began = performance.now()
  let unavailableAfterMs: number | undefined
  while (performance.now() - began < (unavailableAfterMs ?? SICK_WITHIN_MS) + 500) {
    const asked = performance.now()
    const status = await xks.health()
    tookMs.push(performance.now() - asked)
    if (status === 'UNAVAILABLE') unavailableAfterMs ??= performance.now() - began
    const use = outcomeOf(xks.encrypt(KEY, plaintext))
    uses.push(use.then((outcome) => void heard.add(outcome)))
    await pause(20)
  }
  await Promise.all(uses)
  expect(unavailableAfterMs, 'unavailable after').lessThan(SICK_WITHIN_MS)
  return { tookMs, heard: [...heard] }
}

function becomesWell(xks: XksClient): Promise<void> {
  return isSaid(xks, 'ACTIVE', WELL_WITHIN_MS)
}

async function isSaid(xks: XksClient, status: string, withinMs: number): Promise<void> {
  let last = ''
  await eventually(
    async () => (last = await xks.health()) === status,
    () => `the token is ${last}, not ${status}, after ${withinMs} ms`,
    withinMs,
  )
}

async function refusalOf(call: Promise<unknown>): Promise<XksRefusal> {
  const error = await call.catch((it: unknown) => it)
  if (error instanceof XksRefusal) return error
  throw new Error(`not refused: ${error instanceof Error ? error.message : 'answered'}`)
}
