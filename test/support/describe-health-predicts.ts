import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { outcomeOf } from './kms-client.ts'
import { SeededRandom } from './seeded-random.ts'
import { EVIDENCE_HOLDS_MS, TOKEN_FAULTS, type TokenFault } from './token-faults.ts'
import { XksClient } from './xks-client.ts'
import { XksDaemonUnderTest } from './xks-daemon.ts'

const KEY = 'key'
const PLAINTEXT = randomBytes(32)
/** So long may a new key be known to one lane only. */
const TEACHING_MS = 2500
/** XKS H-03: so many of the encryptions right after a good answer succeed. */
const RIGHT = 0.999
const LONGEST_PAUSE_MS = 50
/** Whatever takes long: a fault every half a second, and most rounds beside one. */
const MOST_MS_A_ROUND = 500

interface Strike {
  readonly fault: TokenFault
  /** What Encrypt said in its time, after health had said ACTIVE. */
  readonly wrong: string[]
}

/**
 * Health, and Encrypt right after it, while one fault after another strikes the token.
 *
 * What hits one lane must not be noticed. What hits every lane at once is foreseen by nobody: it costs the first request that
 * meets it, and health must know of it from then on.
 */
export function describeHealthPredicts({ rounds }: { readonly rounds: number }): void {
  describe(`${rounds} good answers of health under random faults, and an encryption after each`, function () {
    this.timeout(60_000 + rounds * MOST_MS_A_ROUND)
    const random = new SeededRandom(seedFromEnvironment())
    let bridge: XksDaemonUnderTest
    let xks: XksClient

    before(async () => {
      bridge = await XksDaemonUnderTest.start({ faults: { record: false } })
      await bridge.createKey(KEY)
      xks = new XksClient(bridge.endpoint())
      await xks.encrypt(KEY, PLAINTEXT)
      await pause(TEACHING_MS)
      await bridge.daemon.whole()
    })
    after(() => bridge?.stop())

    it(`XKS H-03: predict it, and an outage deceives once (seed ${random.seed})`, async () => {
      const strikes: Strike[] = []
      const ended = new AbortController()
      const striking = strikeUntil(ended.signal, strikes)
      await predict(strikes).finally(() => ended.abort())
      await striking

      const outages = strikes.filter(({ fault }) => fault.allowed.length > 0)
      const ofOneLane = strikes
        .filter((it) => !outages.includes(it))
        .flatMap(({ fault, wrong }) => wrong.map((outcome) => `${fault.name}: ${outcome}`))
      const deceived = outages.filter(({ wrong }) => wrong.length > 0)
      console.log(
        `    ${strikes.length} faults; wrong ${ofOneLane.length} of ${rounds}, ` +
          `and in ${deceived.length} of ${outages.length} outages`,
      )
      expect(ofOneLane.length, ofOneLane.join('; ')).most(Math.ceil(rounds * (1 - RIGHT)))
      for (const { fault, wrong } of deceived) expect(wrong, `of ${fault.name}`).to.have.length(1)
    })

    async function predict(strikes: readonly Strike[]): Promise<void> {
      for (let judged = 0; judged < rounds; ) {
        await pause(random.between(0, LONGEST_PAUSE_MS))
        if ((await xks.health()) !== 'ACTIVE') continue
        judged += 1
        const outcome = await outcomeOf(xks.encrypt(KEY, PLAINTEXT))
        if (outcome === 'ok') continue
        const strike = strikes.at(-1) ?? expect.fail(`${outcome} before any fault`)
        strike.wrong.push(outcome)
      }
    }

    async function strikeUntil(signal: AbortSignal, strikes: Strike[]): Promise<void> {
      while (!signal.aborted) {
        const fault = random.pick(TOKEN_FAULTS)
        if (fault.afterEvidence) await pause(EVIDENCE_HOLDS_MS)
        strikes.push({ fault, wrong: [] })
        fault.inject(bridge.daemon, random)
        await pause(random.between(100, 400))
        bridge.daemon.faults.clear()
        await bridge.daemon.whole()
        await pause(100)
      }
    }
  })
}

function seedFromEnvironment(): number | undefined {
  const seed = process.env['XKS_HEALTH_SEED']
  return seed === undefined ? undefined : Number(seed)
}
