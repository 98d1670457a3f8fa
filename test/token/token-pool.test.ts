import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import type { Material } from '../../src/crypto/key-custody.ts'
import { PoolUnderTest, until } from '../support/pool-under-test.ts'

const AAD = Buffer.from('aad')
const RATE_PER_SECOND = 200
const NETWORK_DEADLINES_MS = { use: 500, useTotal: 1000, find: 5000, write: 30_000 }

interface Outcome {
  readonly done: number
  readonly failures: readonly string[]
}

/** Encrypts and decrypts at 200 a second, without waiting for answers, while `work` runs and 300 ms longer. */
async function underLoad(
  test: PoolUnderTest,
  material: Material,
  work: () => Promise<void>,
): Promise<Outcome> {
  const failures: string[] = []
  const running: Promise<void>[] = []
  let done = 0
  const once = async () => {
    try {
      const plaintext = randomBytes(32)
      const sealed = await test.custody.encrypt(material, plaintext, AAD)
      const back = await test.custody.decrypt(material, sealed, AAD)
      if (!back.equals(plaintext)) failures.push('wrong plaintext')
      done += 1
    } catch (error) {
      failures.push(String(error))
    }
  }
  const timer = setInterval(() => running.push(once()), 1000 / RATE_PER_SECOND)
  try {
    await pause(100)
    await work()
    await pause(300)
  } finally {
    clearInterval(timer)
    await Promise.all(running)
  }
  return { done, failures }
}

function hotPid(test: PoolUnderTest): number {
  const pid = test.pool.status().lanes.find(({ role }) => role === 'hot')?.pid
  if (pid === undefined) throw new Error('no hot lane')
  return pid
}

describe('token pool on SoftHSM2 under 200 encryptions and decryptions a second', function () {
  this.timeout(60_000)
  let test: PoolUnderTest
  let material: Material

  before(async () => {
    test = await PoolUnderTest.start()
    material = await test.make()
  })
  after(() => test.stop())
  beforeEach(async () => {
    test.faults.clear()
    await test.whole()
    test.log.length = 0
  })

  const survives = async (work: () => Promise<void>) => {
    const { done, failures } = await underLoad(test, material, work)
    expect(failures).to.deep.equal([])
    expect(done).to.be.greaterThan(50)
  }

  it('FM-F13: a lane that is killed costs no request, and is replaced', async () => {
    const victim = hotPid(test)
    await survives(async () => void process.kill(victim, 'SIGKILL'))
    await test.whole()
    expect(test.pool.status().lanes.map(({ pid }) => pid)).not.to.include(victim)
  })

  it('FM-F12: a call that hangs costs no request; the lane is killed and replaced', async () => {
    const victim = hotPid(test)
    const hang = test.faults.hang('decrypt')
    await survives(async () =>
      test.faults.rules([`C_Decrypt hang=${hang.path} pid=${victim} count=1`]),
    )
    hang.release()
    expect(test.log.map(({ message }) => message)).to.include('lane did not answer in time')
    expect(test.pool.status().lanes.map(({ pid }) => pid)).not.to.include(victim)
  })

  it('FM-F01: all sessions of all lanes invalid costs no request', () =>
    survives(async () => test.faults.rules(['C_EncryptInit closeall lane=hot count=3'])))

  it('FM-F05: a logout by another in every lane costs no request', () =>
    survives(async () => test.faults.rules(['C_DecryptInit logout lane=hot count=3'])))

  it('CKR_DEVICE_ERROR once costs no request and no lane', async () => {
    const before = test.pool.status().replaced
    await survives(async () => test.faults.rules(['C_Encrypt rv=0x30 lane=hot count=1']))
    expect(test.pool.status().replaced).to.equal(before)
  })

  it('FM-F13: abort inside the module costs no request', () =>
    survives(async () => test.faults.rules(['C_Encrypt abort lane=hot count=1'])))

  it('calls that are slow one after another make no lane look as if it hung', async () => {
    const sealed = await test.custody.encrypt(material, AAD, AAD)
    test.faults.rules(['C_Decrypt delay=12 lane=hot count=40'])
    const answers = Array.from({ length: 40 }, () => test.custody.decrypt(material, sealed, AAD))
    await Promise.allSettled(answers) // the last ones wait too long; no lane may be blamed for that
    expect(test.log.map(({ message }) => message)).not.to.include('lane did not answer in time')
  })

  it('FM-F02: while the device is gone every call fails at once, and serving goes on within 2 s of its return', async () => {
    test.faults.rules(['* rv=0x30'])
    await until(() => {
      void test.custody.health().catch(() => {}) // a dead device is noticed by whoever uses it
      return test.pool.status().state === 'down'
    })
    const asked = performance.now()
    const failure = await test.custody.random(8).catch((error) => error)
    expect(failure).to.have.property('code', 'DEVICE_GONE')
    expect(performance.now() - asked).to.be.lessThan(20)
    test.faults.clear()
    const returned = Date.now()
    await until(() => test.pool.status().inRotation > 0)
    expect(Date.now() - returned).to.be.lessThan(2000)
  }).timeout(30_000)
})

describe('token pool on SoftHSM2', function () {
  this.timeout(60_000)
  let test: PoolUnderTest

  before(async () => {
    test = await PoolUnderTest.start()
  })
  after(() => test.stop())
  beforeEach(() => test.faults.clear())

  it('FM-F20: a new key is proven in another lane than the one that made it', async () => {
    test.faults.forgetCalls()
    await test.make()
    const calls = test.faults.calls()
    const maker = calls.find((call) => call.function === 'C_GenerateKey')?.pid
    const provers = calls.filter((call) => call.function === 'C_Decrypt').map(({ pid }) => pid)
    expect(maker).to.be.a('number')
    expect(provers.some((pid) => pid !== maker)).to.equal(true)
  })

  it('AT-K02, AT-K03: a crash of a lane leaves no core, and SIGUSR1 opens no debugger', () => {
    for (const { pid } of test.pool.status().lanes) {
      const limits = readFileSync(`/proc/${pid}/limits`, 'utf8')
      expect(limits).to.match(/^Max core file size +0 +0 /m)
      expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).to.include('--disable-sigusr1')
    }
  })

  it('a new key is usable at once, however many are made', async () => {
    for (let i = 0; i < 5; i += 1) {
      const material = await test.make()
      const uses = Array.from({ length: 6 }, () => test.custody.encrypt(material, AAD, AAD))
      expect(await Promise.all(uses)).to.have.length(6)
    }
  })

  it('no lane searches while it serves: every hot lane that finds was taken out first', async () => {
    await pause(2000) // let the lanes learn of what was made before
    const material = await test.make()
    test.faults.rules(['C_FindObjects delay=300 lane=hot'])
    const making = test.make()
    let worstMs = 0
    while (await Promise.race([making.then(() => false), pause(5, true)])) {
      const asked = performance.now()
      await test.custody.encrypt(material, AAD, AAD)
      worstMs = Math.max(worstMs, performance.now() - asked)
    }
    expect(worstMs).to.be.lessThan(150)
  })

  it('lanes that do not know a new key search for it soon, although it is used without a pause', async () => {
    await pause(2000) // let the lanes learn of what was made before
    const material = await test.make()
    test.faults.forgetCalls()
    const began = performance.now()
    while (performance.now() - began < 4000) {
      await Promise.all(Array.from({ length: 4 }, () => test.custody.encrypt(material, AAD, AAD)))
      await pause(5)
    }
    const searches = test.faults.calls().filter((call) => call.function === 'C_FindObjectsInit')
    expect(new Set(searches.map(({ pid }) => pid)).size).to.be.greaterThan(1)
  }).timeout(20_000)

  it('a key that another process made is found by a search, once', async () => {
    const stranger = test.newPool()
    await stranger.start(test.anchors)
    const { TokenCustody } = await import('../../src/token/token-custody.ts')
    const material = await new TokenCustody(stranger).make(test.custody.plan(), test.origin())
    await stranger.stop()
    const sealed = await test.custody.encrypt(material, AAD, AAD)
    expect(await test.custody.decrypt(material, sealed, AAD)).to.deep.equal(AAD)
  })

  it('a key whose object is gone is KEY_UNAVAILABLE, never a bad ciphertext', async () => {
    const material = await test.make()
    const sealed = await test.custody.encrypt(material, AAD, AAD)
    await test.custody.destroy(material, test.nextLineage())
    const failure = await test.custody.decrypt(material, sealed, AAD).catch((error) => error)
    expect(failure).to.have.property('code', 'KEY_UNAVAILABLE')
  })

  it('no lane keeps a session copy of a key that was destroyed', async () => {
    const handlesIn = (name: string, field: 'key' | 'made') =>
      test.faults
        .calls()
        .flatMap((call) => (call.function === name ? [`${call.pid} ${call[field]}`] : []))
    test.faults.forgetCalls()
    const material = await test.make()
    await Promise.all(Array.from({ length: 40 }, () => test.custody.encrypt(material, AAD, AAD)))
    const used = new Set(handlesIn('C_EncryptInit', 'key'))
    const copies = handlesIn('C_CopyObject', 'made').filter((handle) => used.has(handle))
    expect(copies).to.not.have.length(0)
    await test.custody.destroy(material, test.nextLineage())
    expect(handlesIn('C_DestroyObject', 'key')).to.include.members(copies)
  })

  it('ARCH-D11: destroying counts the owner record on, and can be repeated', async () => {
    const material = await test.make()
    const lineage = test.nextLineage()
    await test.custody.destroy(material, lineage)
    await test.custody.destroy(material, lineage)
    expect(await test.custody.findOwner()).to.have.property('lineage', lineage)
  })

  it('D6: a token that hands out extractable keys loses the key, and the request fails', async () => {
    const before = (await test.custody.list()).objects.length
    test.faults.rules(['C_GetAttributeValue ok lane=cold'])
    const failure = await test.make().catch((error) => error)
    expect(failure).to.have.property('code', 'TOKEN_LIED')
    test.faults.clear()
    await test.whole()
    expect((await test.custody.list()).objects.length).to.equal(before)
  })
})

describe('ARCH-D4: one login', function () {
  this.timeout(60_000)
  let test: PoolUnderTest

  before(async () => {
    test = await PoolUnderTest.start()
    await test.pool.stop()
  })
  after(() => test.stop())

  it('FM-F10: a wrong PIN and 20 restarts are exactly one C_Login', async () => {
    test.faults.forgetCalls()
    for (let start = 0; start < 20; start += 1) {
      const pool = test.newPool({ pin: 'not the pin' })
      const failure = await pool.start(test.anchors).catch((error) => error)
      expect(failure).to.have.property('code', 'LOGIN_REFUSED')
      expect(pool.status()).to.include({ state: 'latched' })
      await pool.stop()
    }
    expect(test.faults.countCalls('C_Login')).to.equal(1)
  })

  it('the right PIN is let through, and the latch opens on request', async () => {
    expect(test.latch().open(test.token.serial)).to.equal(true)
    const pool = test.newPool()
    await pool.start(test.anchors)
    expect(pool.status().inRotation).to.equal(1)
    await pool.stop()
  })
})

describe('a profile for a network HSM', function () {
  this.timeout(60_000)

  it('two lanes carry 1,800 encryptions a second at 3 ms a call', async () => {
    const test = await PoolUnderTest.start({
      profile: { callsPerLane: 12, randomBatchBytes: 4096, deadlinesMs: NETWORK_DEADLINES_MS },
      record: false,
    })
    try {
      const material = await test.make()
      test.faults.rules([
        'C_Encrypt delay=3 lane=hot',
        'C_Decrypt delay=3 lane=hot',
        'C_GenerateRandom delay=3 lane=hot',
      ])
      await test.custody.encrypt(material, AAD, AAD)
      let left = 5400
      const started = performance.now()
      const worker = async () => {
        while (left > 0) {
          left -= 1
          await test.custody.encrypt(material, randomBytes(32), AAD)
        }
      }
      await Promise.all(Array.from({ length: 24 }, worker))
      const perSecond = 5400 / ((performance.now() - started) / 1000)
      expect(perSecond).to.be.greaterThan(1800)
    } finally {
      await test.stop()
    }
  })
})
