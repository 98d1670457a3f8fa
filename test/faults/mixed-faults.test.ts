import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { type FailedRequest, startCheckedLoad } from '../support/checked-load.ts'
import { DaemonUnderTest } from '../support/daemon-under-test.ts'
import { KmsClient } from '../support/kms-client.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { EVIDENCE_HOLDS_MS, TOKEN_FAULTS, type TokenFault } from '../support/token-faults.ts'

/** CI's size; `MIXED_FAULTS_SECONDS=60` or more for a long run. */
const SECONDS = Number(process.env['MIXED_FAULTS_SECONDS'] ?? 20)
/** The line at which AWS advises to raise an alarm: retryable errors a minute that no outage explains. */
const UNEXPLAINED_PER_MINUTE = 5
const PER_SECOND = 200
/** A failure belongs to the fault in whose time its request was due; deadlines end this much later. */
const AFTERMATH_MS = 300

interface Injected {
  readonly fault: TokenFault
  readonly fromMs: number
  readonly toMs: number
}

describe(`${SECONDS} s of mixed faults at ${PER_SECOND} requests a second`, function () {
  this.timeout((SECONDS + 60) * 1000)
  const random = new SeededRandom(seedFromEnvironment())
  let daemon: DaemonUnderTest
  let keyId: string

  before(async () => {
    daemon = await DaemonUnderTest.start({ faults: { record: false } })
    keyId = await new KmsClient(daemon.endpoint()).createKey()
    await daemon.whole()
  })
  after(() => daemon.stop())

  it(`answers nothing wrong, and hardly ever fails but while every lane is hit (seed ${random.seed})`, async () => {
    const endpoint = daemon.endpoint()
    const load = await startCheckedLoad({ endpoint, keyId, perSecond: PER_SECOND })
    const injected = await injectUntil(Date.now() + SECONDS * 1000)
    const { sent, ok, wrong, failures, latencyMs } = await load.stop()
    console.log(
      `    ${injected.length} faults, ${sent} requests, ${failures.length} failed, ` +
        `p50 ${latencyMs.p50.toFixed(1)} ms, p99 ${latencyMs.p99.toFixed(1)} ms, max ${latencyMs.max.toFixed(0)} ms`,
    )
    expect(wrong).equal(0)
    expect(ok).greaterThan(sent / 2)
    const unexplained = failures.filter((it) => !isAllowed(it, injected)).map(described(injected))
    for (const failure of unexplained) console.log(`    unexplained: ${failure}`)
    expect(unexplained.length, unexplained.join('; ')).most(
      Math.ceil((UNEXPLAINED_PER_MINUTE * SECONDS) / 60),
    )
  })

  /** One fault after another; each finds a pool that is whole. */
  async function injectUntil(endMs: number): Promise<Injected[]> {
    const injected: Injected[] = []
    while (Date.now() < endMs) {
      const fault = random.pick(TOKEN_FAULTS)
      if (fault.afterEvidence) await pause(EVIDENCE_HOLDS_MS)
      const fromMs = Date.now()
      fault.inject(daemon, random)
      await pause(random.between(300, 900))
      daemon.faults.clear()
      await daemon.whole()
      injected.push({ fault, fromMs, toMs: Date.now() })
      await pause(AFTERMATH_MS)
    }
    return injected
  }
})

function isAllowed({ atMs, name }: FailedRequest, injected: readonly Injected[]): boolean {
  return faultsAt(atMs, injected).some(({ fault }) => fault.allowed.includes(name))
}

function faultsAt(atMs: number, injected: readonly Injected[]): readonly Injected[] {
  return injected.filter(
    ({ fromMs, toMs }) => atMs >= fromMs - AFTERMATH_MS && atMs <= toMs + AFTERMATH_MS,
  )
}

function described(injected: readonly Injected[]) {
  return ({ atMs, operation, name }: FailedRequest) =>
    `${operation} ${name} during ${faultsAt(atMs, injected)
      .map(({ fault }) => fault.name)
      .join(', ')}`
}

function seedFromEnvironment(): number | undefined {
  const seed = process.env['MIXED_FAULTS_SEED']
  return seed === undefined ? undefined : Number(seed)
}
