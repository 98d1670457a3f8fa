import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { type BenchDaemon, startBenchDaemon } from '../../scripts/bench/bench-daemon.ts'
import { machine } from '../../scripts/bench/cpu-time.ts'
import { copyFilledState } from '../../scripts/bench/fill-state.ts'
import { KmsClient, outcomeOf } from '../support/kms-client.ts'
import { callKms, type KmsRequest } from '../support/kms-request.ts'
import { type LoadResult, runLoad, startLoad } from '../support/load-generator.ts'
import { median } from '../support/percentiles.ts'

const MANY = 10_000
const FEW = 10
const CACHE = join(import.meta.dirname, '..', '..', '.cache')
const DECRYPTS_PER_SECOND = 500
const ROUNDS = Number(process.env['TEN_THOUSAND_ROUNDS'] ?? 3)
const SECONDS = Number(process.env['TEN_THOUSAND_SECONDS'] ?? 30)
const STARTS = 5
const KEYS_IN_USE = 100
const FILL_MS = 400_000

describe(`a token of ${MANY.toLocaleString('en')} keys on ${machine()}`, function () {
  this.timeout(FILL_MS + 8 * ROUNDS * SECONDS * 1000)
  const directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-many-keys-'))
  const daemons: BenchDaemon[] = []

  before(() => {
    for (const keys of [FEW, MANY]) copyFilledState(CACHE, keys, stateOf(keys))
  })
  afterEach(async () => {
    for (const daemon of daemons.splice(0)) await daemon.stop()
  })
  after(() => rmSync(directory, { recursive: true, force: true }))

  async function start(keys: number): Promise<BenchDaemon> {
    const daemon = await startBenchDaemon(stateOf(keys))
    daemons.push(daemon)
    return daemon
  }
  const stateOf = (keys: number) => join(directory, `state-${keys}`)

  it('FM-F54: is ready within 3 s of the start', async () => {
    await (await start(MANY)).stop() // afterwards its files are in memory
    const times: number[] = []
    for (let i = 0; i < STARTS; i += 1) {
      const daemon = await start(MANY)
      times.push(daemon.readyMs)
      await daemon.stop()
    }
    console.log(`    ready after ${times.map((ms) => ms.toFixed(0)).join(', ')} ms`)
    expect(median(times)).most(3000)
  })

  it('ARCH-D2: one CreateKey a second beside 500 Decrypt a second kills no lane, and p99 stays within 2×', async () => {
    const daemon = await start(MANY)
    const requests = await decryptRequests(daemon)
    const ratios: number[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      await daemon.settled()
      const alone = await runLoad(decrypts(daemon, requests))
      await daemon.settled()
      const lanes = daemon.pids()
      const beside = await loadBesideCreateKey(daemon, requests)
      expect(daemon.pids()).deep.equal(lanes)
      expect([alone.errors, beside.load.errors]).deep.equal([{}, {}])
      expect(beside.outcomes).deep.equal(Array(beside.outcomes.length).fill('ok'))
      ratios.push(beside.load.latencyMs.p99 / alone.latencyMs.p99)
      console.log(
        `    alone ${latency(alone)}; beside ${beside.outcomes.length} CreateKey ${latency(beside.load)}`,
      )
    }
    console.log(`    p99 ratio ${ratios.map((it) => it.toFixed(2)).join(', ')}`)
    expect(median(ratios)).most(2)
  })

  it(`FM-F54: answers as fast as a token of ${FEW} keys, within 1.5×`, async () => {
    const few = await start(FEW)
    const many = await start(MANY)
    const [atFew, atMany] = [await decryptRequests(few), await decryptRequests(many)]
    const ratios: number[] = []
    for (let round = 0; round < 5; round += 1) {
      await Promise.all([few.settled(), many.settled()])
      const fewKeys = await runLoad({ ...decrypts(few, atFew), seconds: 8 })
      const manyKeys = await runLoad({ ...decrypts(many, atMany), seconds: 8 })
      ratios.push(manyKeys.latencyMs.p50 / fewKeys.latencyMs.p50)
      console.log(`    ${FEW} keys ${latency(fewKeys)}; ${MANY} keys ${latency(manyKeys)}`)
    }
    console.log(`    p50 ratio ${ratios.map((it) => it.toFixed(2)).join(', ')}`)
    expect(median(ratios)).most(1.5)
  })
})

function decrypts({ endpoint }: BenchDaemon, requests: readonly KmsRequest[]) {
  return {
    endpoint,
    requests,
    warmupSeconds: 2,
    seconds: SECONDS,
    connections: 64,
    rate: { perSecond: DECRYPTS_PER_SECOND, arrivals: 'poisson' },
  } as const
}

/** One CreateKey is sent each second, whether or not the one before has ended. */
async function loadBesideCreateKey(
  daemon: BenchDaemon,
  requests: readonly KmsRequest[],
): Promise<{ load: LoadResult; outcomes: string[] }> {
  const kms = new KmsClient(daemon.endpoint)
  const creations: Promise<string>[] = []
  const load = startLoad(decrypts(daemon, requests))
  const timer = setInterval(() => creations.push(outcomeOf(kms.createKey())), 1000)
  try {
    return { load: await load.result, outcomes: await Promise.all(creations) }
  } finally {
    clearInterval(timer)
  }
}

/** Ciphertexts under keys from all over the token. */
async function decryptRequests({ endpoint }: BenchDaemon): Promise<KmsRequest[]> {
  const kms = new KmsClient(endpoint)
  const { Keys } = await callKms<{ Keys: { KeyId: string }[] }>(endpoint, {
    operation: 'ListKeys',
    body: { Limit: 1000 },
  })
  const requests: KmsRequest[] = []
  for (const [i, { KeyId }] of Keys.entries()) {
    if (i % Math.max(1, Math.floor(Keys.length / KEYS_IN_USE)) !== 0) continue
    const CiphertextBlob = await kms.encrypt(KeyId, Buffer.from(KeyId))
    requests.push({ operation: 'Decrypt', body: { CiphertextBlob } })
  }
  return requests
}

function latency({ latencyMs: { p50, p99, max } }: LoadResult): string {
  return `p50 ${p50.toFixed(2)}, p99 ${p99.toFixed(1)}, max ${max.toFixed(0)} ms`
}
