import { mock } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import type { Material } from '../../src/crypto/key-custody.ts'
import { TokenHealth, type TokenHealthStatus } from '../../src/token/token-health.ts'
import type { TokenPoolStatus } from '../../src/token/token-pool.ts'
import { PoolUnderTest } from '../support/pool-under-test.ts'
import { nativeProfile } from '../support/softhsm.ts'

const AAD = Buffer.from('aad')

describe('the health of a token', function () {
  this.timeout(60_000)
  let test: PoolUnderTest
  let material: Material
  let health: TokenHealth

  before(async () => {
    test = await PoolUnderTest.start()
    material = await test.make()
  })
  beforeEach(async () => {
    await test.whole()
    health = new TokenHealth(test.pool)
    health.start()
    await becomes((status) => status === 'ACTIVE', 2000)
  })
  afterEach(() => {
    health.stop()
    test.faults.clear()
  })
  after(() => test.stop())

  /** Asks every 50 ms, as a fleet of KMS hosts does. Answers how long it took, in milliseconds. */
  const becomes = async (is: (status: TokenHealthStatus) => boolean, withinMs: number) => {
    const asked = performance.now()
    for (;;) {
      const began = performance.now()
      const { status } = health.report()
      expect(performance.now() - began, 'XKS H-12: from memory').to.be.lessThan(20)
      const took = performance.now() - asked
      if (is(status)) return took
      if (took > withinMs) throw new Error(`${status} after ${withinMs} ms`)
      await pause(50)
    }
  }
  const turnsBad = () => becomes((status) => status !== 'ACTIVE', 5000)
  const isGone = () => becomes((status) => status === 'UNAVAILABLE', 5000)
  const returns = () => becomes((status) => status === 'ACTIVE', 2000)

  it('XKS H-10: names serial number, model and hardware version in printable ASCII', () => {
    const report = health.report()
    expect(report.id).to.equal(test.token.serial)
    expect(report.model).to.match(/^SoftHSM v2 \d+\.\d+$/)
    expect(report.checkedAt).to.be.closeTo(Date.now(), 2000)
  })

  it('XKS H-01: turns when the token describes itself well and cannot encrypt', async () => {
    test.faults.rules(['C_Encrypt rv=0x30'])
    await isGone()
    expect(test.pool.status().state, 'every lane still opens the canary').to.equal('serving')
    test.faults.clear()
    await returns()
  })

  it('XKS H-01: turns when what the token encrypts opens to nothing', async () => {
    test.faults.rules(['C_Encrypt flip=5'])
    await isGone()
    test.faults.clear()
    await test.whole()
    await returns()
  })

  it('XKS H-12: a token that hangs turns within 5 s, answers from memory meanwhile, and is back within 2 s', async () => {
    const hang = test.faults.hang('everything')
    test.faults.rules([`* hang=${hang.path}`])
    await turnsBad()
    await isGone()
    await pause(2000)
    expect(health.report().status).to.equal('UNAVAILABLE')
    hang.release()
    test.faults.clear()
    await returns()
  })

  it('a token that is gone turns within 5 s, and is back within 2 s (FM-F02)', async () => {
    test.faults.rules(['* rv=0x30'])
    await isGone()
    await pause(2000)
    test.faults.clear()
    await returns()
  })

  it('a canary that hangs in one lane costs no request, and that lane goes as for any call (FM-F12)', async () => {
    const hang = test.faults.hang('canary')
    test.faults.rules([`C_Encrypt hang=${hang.path} lane=hot count=1`])
    const asked = performance.now()
    let worstMs = 0
    while (performance.now() - asked < 2500) {
      const began = performance.now()
      await test.custody.encryptVerified(material, AAD, AAD, AAD)
      worstMs = Math.max(worstMs, performance.now() - began)
      health.report()
      await pause(5)
    }
    hang.release()
    expect(worstMs).to.be.lessThan(test.token.profile.deadlinesMs.useTotal)
  })

  it('XKS H-02, XKS H-03: uses the canary in every lane in its turn, and no other key', async () => {
    const keysByPid = () => {
      const keys = new Map<number, Set<number | undefined>>()
      for (const call of test.faults.calls())
        if (/^C_(?:En|De)cryptInit$/u.test(call.function))
          keys.set(call.pid, (keys.get(call.pid) ?? new Set()).add(call.key))
      return keys
    }
    test.faults.forgetCalls()
    await Promise.all(Array.from({ length: 20 }, () => test.custody.encrypt(material, AAD, AAD)))
    const used = keysByPid()
    test.faults.forgetCalls()
    for (let i = 0; i < 10; i += 1) await test.custody.health()
    const asked = keysByPid()
    expect(asked.size).to.equal(test.token.profile.hotLanes)
    for (const [pid, keys] of asked) {
      expect(keys.size).to.equal(1)
      for (const key of keys) expect(used.get(pid) ?? new Set()).to.not.include(key)
    }
  })
})

describe('when the health of a token is looked at', () => {
  let state: TokenPoolStatus['state']
  let checks: number
  let answers: () => Promise<void>
  /** For how long the whole machine slept. */
  let sleptMs: number
  let health: TokenHealth

  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'] })
    state = 'serving'
    checks = 0
    sleptMs = 0
    answers = async () => {}
    health = new TokenHealth(
      {
        options: { tokenSerial: 'série\n1', profile: nativeProfile('softhsm2') },
        status: () => ({ ...EMPTY, state }),
        health: () => {
          checks += 1
          return answers()
        },
      },
      () => Date.now() + sleptMs,
    )
  })
  afterEach(() => {
    health.stop()
    mock.timers.reset()
  })

  const EMPTY = {
    inRotation: 0,
    spare: false,
    cold: false,
    replaced: 0,
    lanes: [],
    token: undefined,
    trouble: undefined,
  } as const
  const passes = async (ms: number, each = () => {}) => {
    for (let passed = 0; passed < ms; passed += 50) {
      mock.timers.tick(50)
      each()
      for (let turn = 0; turn < 5; turn += 1) await Promise.resolve()
    }
  }
  const fails = () => Promise.reject(new Error('no'))

  it('XKS H-05: once a second while somebody asks, and every ten seconds while nobody does', async () => {
    health.start()
    await passes(10_000, () => health.report())
    expect(checks).to.be.within(9, 12)
    await passes(40_000) // the last asker is 30 s ago
    checks = 0
    await passes(60_000)
    expect(checks).to.be.within(5, 7)
    health.report()
    await passes(100)
    const { checkedAt = 0 } = health.report()
    expect(Date.now() - checkedAt).to.be.lessThan(200)
  })

  it('is UNAVAILABLE before the first check, and names a token that was never seen by its profile', () => {
    expect(health.report()).to.deep.equal({
      id: 's?rie?1',
      model: 'softhsm2',
      status: 'UNAVAILABLE',
      checkedAt: undefined,
    })
  })

  it('one check at a time; one that does not end is as bad as one that fails (XKS H-12)', async () => {
    health.start()
    await passes(100)
    answers = () => new Promise(() => {})
    await passes(3000, () => health.report())
    expect(health.report().status).to.equal('UNAVAILABLE')
    await passes(30_000, () => health.report())
    expect(checks).to.equal(2)
  })

  it('XKS H-05: what worked longer than a minute ago proves nothing, as after a sleep of the machine', async () => {
    health.start()
    await passes(100)
    sleptMs = 59_000
    expect(health.report().status).to.equal('ACTIVE')
    sleptMs = 61_000
    expect(health.report().status).to.equal('UNAVAILABLE')
    await passes(50)
    expect(health.report().status).to.equal('ACTIVE')
  })

  it('DEGRADED after one failed canary, UNAVAILABLE after the second in a row, ACTIVE after the next success', async () => {
    health.start()
    await passes(100, () => health.report())
    answers = fails
    await passes(1000, () => health.report())
    expect(health.report().status).to.equal('DEGRADED')
    await passes(300)
    expect(health.report().status).to.equal('UNAVAILABLE')
    answers = async () => {}
    await passes(300)
    expect(health.report().status).to.equal('ACTIVE')
  })

  for (const [poolState, status] of [
    ['serving', 'ACTIVE'],
    ['degraded', 'DEGRADED'],
    ['starting', 'UNAVAILABLE'],
    ['down', 'UNAVAILABLE'],
    ['latched', 'UNAVAILABLE'],
    ['stopped', 'UNAVAILABLE'],
  ] as const)
    it(`XKS H-09: is ${status} at once when the pool is ${poolState}, although the canary has just worked`, async () => {
      health.start()
      await passes(100)
      state = poolState
      expect(health.report().status).to.equal(status)
    })

  it('ends with stop, also in the middle of a check', async () => {
    let end = () => {}
    answers = () =>
      new Promise((resolve) => {
        end = resolve
      })
    health.start()
    health.stop()
    end()
    await passes(20_000, () => health.report())
    expect(checks).to.equal(1)
  })
})
