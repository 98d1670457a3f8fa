import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import type { Reconciliation } from '../../src/daemon/reconcile.ts'
import { type CheckedLoad, startCheckedLoad } from '../support/checked-load.ts'
import { DaemonUnderTest, PATIENT } from '../support/daemon-under-test.ts'
import { KmsClient, outcomeOf } from '../support/kms-client.ts'
import { callKms } from '../support/kms-request.ts'
import { describePostgres } from '../support/postgres.ts'
import { freePort } from '../support/free-port.ts'

const SECONDS = Number(process.env['FLEET_SECONDS'] ?? 120)
const KILL_EVERY_MS = 10_000
const PER_SECOND = Number(process.env['FLEET_PER_SECOND'] ?? 500)
const HOLDS_WITHIN_MS = 1_000

describePostgres('two daemons of which one is killed every ten seconds', (server) => {
  const daemons: DaemonUnderTest[] = []
  let load: CheckedLoad

  before(async function () {
    this.timeout(120_000)
    const storageUrl = await server.createDatabase()
    for (let i = 0; i < 2; i++) {
      const config = {
        kms: { listen: `127.0.0.1:${await freePort()}` },
        quotas: { requests: { enforce: false } },
      }
      const beside = daemons[0] && { beside: daemons[0] }
      daemons.push(await DaemonUnderTest.start({ storageUrl, config, profile: PATIENT, ...beside }))
    }
    for (const daemon of daemons) await daemon.whole()
  })
  after(async function () {
    this.timeout(60_000)
    for (const daemon of daemons.toReversed()) await daemon.stop()
  })

  it(`FM-F32, ARCH-D12: ${PER_SECOND} requests a second for ${SECONDS} s, 0 errors for who retries once, 0 double writes`, async function () {
    this.timeout(SECONDS * 1000 + 180_000)
    const [one, other] = daemons as [DaemonUnderTest, DaemonUnderTest]
    const [endpoint, second] = [one.endpoint(), other.endpoint()]
    const keyId = await new KmsClient(endpoint).createKey()
    await pause(HOLDS_WITHIN_MS)
    load = await startCheckedLoad({ endpoint, others: [second], keyId, perSecond: PER_SECOND })
    const writer = new Writer([new KmsClient(endpoint), new KmsClient(second)])
    const slowest: number[] = []
    const ends = Date.now() + SECONDS * 1000
    const writing = writer.workUntil(ends)
    for (let round = 0; Date.now() < ends; round++) {
      slowest.push(await timeOfDisabling(one, other))
      await pause(Math.min(KILL_EVERY_MS, Math.max(0, ends - Date.now())))
      const victim = round % 2 === 0 ? one : other
      await victim.killFront()
      await victim.serve()
    }
    await writing
    const result = await load.stop()
    console.log(
      `      ${result.sent} requests, ${result.repeated} repeated, p50 ${result.latencyMs.p50.toFixed(1)} ms, ` +
        `p99 ${result.latencyMs.p99.toFixed(1)} ms; ${writer.done} keys and rotations made, ${writer.unsure} unsure; ` +
        `disabled in both after at most ${Math.max(...slowest).toFixed(0)} ms`,
    )
    expect(result.failures).to.deep.equal([])
    expect(result.wrong).to.equal(0)
    expect(Math.max(...slowest)).to.be.lessThan(HOLDS_WITHIN_MS)
    await expectNoDoubleWrite(one, writer)
  })
})

/** Makes and rotates keys through both in turn. What a killed daemon did not answer for may have happened, once. */
class Writer {
  /** Rotations that succeeded and that may have, by key. */
  readonly rotations = new Map<string, { sure: number; unsure: number }>()
  done = 0
  unsure = 0
  readonly #clients: readonly KmsClient[]

  constructor(clients: readonly KmsClient[]) {
    this.#clients = clients
  }

  async workUntil(ends: number): Promise<void> {
    for (let i = 0; Date.now() < ends; i++) {
      const kms = this.#clients[i % 2] as KmsClient
      const youngest = [...this.rotations.keys()].at(-1)
      if (youngest === undefined || i % 8 === 0) await this.#create(kms)
      else await this.#rotate(kms, youngest)
      await pause(100)
    }
  }

  async #create(kms: KmsClient): Promise<void> {
    try {
      this.rotations.set(await kms.createKey(), { sure: 0, unsure: 0 })
      this.done += 1
      await pause(HOLDS_WITHIN_MS) // until the other knows it, too
    } catch {
      this.unsure += 1
    }
  }

  async #rotate(kms: KmsClient, keyId: string): Promise<void> {
    const count = this.rotations.get(keyId)
    if (!count) return
    const outcome = await outcomeOf(kms.rotate(keyId))
    if (outcome === 'ok') this.done += 1
    else this.unsure += 1
    count[outcome === 'ok' ? 'sure' : 'unsure'] += 1
  }
}

/** Milliseconds from the answer to DisableKey until the other daemon refuses the key. */
async function timeOfDisabling(one: DaemonUnderTest, other: DaemonUnderTest): Promise<number> {
  const keyId = await new KmsClient(one.endpoint()).createKey()
  const there = new KmsClient(other.endpoint())
  while ((await outcomeOf(there.encrypt(keyId, Buffer.from('x')))) !== 'ok') await pause(5)
  await callKms(one.endpoint(), { operation: 'DisableKey', body: { KeyId: keyId } })
  const told = performance.now()
  while ((await outcomeOf(there.encrypt(keyId, Buffer.from('x')))) === 'ok')
    if (performance.now() - told > 10 * HOLDS_WITHIN_MS) break
  return performance.now() - told
}

/** After what killed daemons left unfinished is taken back, token and storage agree, and no rotation happened twice. */
async function expectNoDoubleWrite(daemon: DaemonUnderTest, writer: Writer): Promise<void> {
  await daemon.cli('reconcile', '--destroy-uncommitted', '--json').catch(() => undefined)
  const found = JSON.parse(
    await daemon.cli('reconcile', '--json').catch(stdoutOf),
  ) as Reconciliation
  const { openIntents, unknownObjects, unknownRecords, missingMaterials } = found
  expect([openIntents, unknownObjects, unknownRecords, missingMaterials].flat()).to.deep.equal([])
  for (const [KeyId, { sure, unsure }] of writer.rotations) {
    const body = { KeyId, IncludeKeyMaterial: 'ALL_KEY_MATERIAL' }
    const { Rotations } = await callKms<{ Rotations: unknown[] }>(daemon.endpoint(), {
      operation: 'ListKeyRotations',
      body,
    })
    expect(Rotations.length - 1).to.be.within(sure, sure + unsure)
  }
}

function stdoutOf(error: { stdout: string }): string {
  return error.stdout
}
