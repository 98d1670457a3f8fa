import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { softHsmModulePath } from '../../softhsm/softhsm-conf.ts'
import { compileC } from '../../test/support/compile-c.ts'
import {
  callKms,
  type KmsEndpoint,
  type KmsRequest,
  signedWire,
} from '../../test/support/kms-request.ts'
import { type LoadResult, runLoad } from '../../test/support/load-generator.ts'
import { median } from '../../test/support/percentiles.ts'
import { type BenchDaemon, startBenchDaemon, tokenSerial } from './bench-daemon.ts'
import { machine } from './cpu-time.ts'
import { fillState } from './fill-state.ts'
import { compareFleets } from './fleet.ts'
import { hasWrk } from './saturate.ts'
import { compareWithEcho, losing, spread } from './versus-echo.ts'

/**
 * `npm run bench:kms`: GenerateDataKey and Decrypt against a bare node:http echo of as many bytes, and against C on the same
 * token; latency and start at many keys against few; SQLite against PostgreSQL and one daemon against two.
 */

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '8' },
    connections: { type: 'string', default: '32' },
    keys: { type: 'string', default: '10000' },
    rate: { type: 'string', default: '200' },
    part: { type: 'string', multiple: true, default: ['speed', 'scale', 'start', 'fleet'] },
  },
})
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)
const connections = Number(values.connections)
const manyKeys = Number(values.keys)
const perSecond = Number(values.rate)

const FEW_KEYS = 10
const DISTINCT_REQUESTS = 400
const STARTS = 5
const PLAINTEXT = Buffer.alloc(32, 7).toString('base64')
const CACHE = join(import.meta.dirname, '..', '..', '.cache')

const PARTS: Readonly<Record<string, () => Promise<void>>> = { speed, scale, start, fleet }

console.log(machine())
console.log(`load: ${hasWrk ? 'wrk -t1' : 'our own generator'}, ${connections} connections`)
for (const name of values.part) {
  const part = Object.hasOwn(PARTS, name) ? PARTS[name] : undefined
  if (!part) throw new TypeError(`--part is one of ${Object.keys(PARTS).join(', ')}`)
  await part()
}

// ── speed: the daemon against an echo and against C ──────────────────────────────────────────────────────────────────

async function speed(): Promise<void> {
  await withFreshDaemon(async (daemon) => {
    const { endpoint } = daemon
    const keyId = await createKey(endpoint)
    await daemon.settled()
    const yardstick = await runCLoop(daemon, keyId)
    const loops = `${yardstick.encryptPerSecond} encryptions/s, ${yardstick.decryptPerSecond} decryptions/s`
    console.log(`C loop on one core: ${loops}`)
    const operations = [
      { requests: dataKeyRequests(keyId), cPerSecond: yardstick.encryptPerSecond },
      { requests: await decryptRequests(endpoint, keyId), cPerSecond: yardstick.decryptPerSecond },
    ]
    for (const { requests, cPerSecond } of operations) await compare(daemon, requests, cPerSecond)
  })
}

async function compare(
  daemon: BenchDaemon,
  requests: readonly KmsRequest[],
  cPerSecond: number,
): Promise<void> {
  const [first] = requests as [KmsRequest, ...KmsRequest[]]
  const replyBytes = JSON.stringify(await callKms(daemon.endpoint, first)).length
  const requestBytes = signedWire(daemon.endpoint, first).length
  console.log(
    `\n${first.operation}: ${requestBytes} bytes asked, ${replyBytes} bytes of body answered`,
  )
  const contestant = {
    target: { endpoint: daemon.endpoint, requests },
    replyBytes,
    pids: daemon.pids,
  }
  const measured = await compareWithEcho(contestant, { rounds, seconds, connections })
  console.log(`  daemon : C loop  ${spread(measured.map((r) => r.perSecond / cPerSecond))}`)
}

async function runCLoop(
  { state }: BenchDaemon,
  keyId: string,
): Promise<{ encryptPerSecond: number; decryptPerSecond: number }> {
  const source = join(import.meta.dirname, 'c-loop.c')
  const program = compileC({ source, cache: 'bench', output: 'c-loop', shared: false })
  const token = [softHsmModulePath(), tokenSerial(state), state.softHsm.pinFile]
  const { stdout } = await promisify(execFile)(program, [...token, `hsm-bridge:${keyId}`, '3'], {
    env: { SOFTHSM2_CONF: state.softHsm.conf },
  })
  return JSON.parse(stdout)
}

// ── scale: latency at few and at many keys ───────────────────────────────────────────────────────────────────────────

async function scale(): Promise<void> {
  const few = await startFilled(FEW_KEYS)
  const many = await startFilled(manyKeys)
  await Promise.all([few.settled(), many.settled()])
  try {
    const pairs = [
      { operation: 'Encrypt', few: await encryptAll(few), many: await encryptAll(many) },
      {
        operation: 'Decrypt',
        few: await decryptAll(few),
        many: await decryptAll(many),
      },
    ]
    for (const pair of pairs) {
      const ratios: number[] = []
      const p50s: { few: number; many: number }[] = []
      let failed = 0
      for (let round = 0; round < rounds; round++) {
        const atFew = await steadyLoad(few.endpoint, pair.few)
        const atMany = await steadyLoad(many.endpoint, pair.many)
        p50s.push({ few: atFew.latencyMs.p50, many: atMany.latencyMs.p50 })
        ratios.push(atMany.latencyMs.p50 / atFew.latencyMs.p50)
        failed += atFew.sent - atFew.ok + atMany.sent - atMany.ok
      }
      const ms = (which: 'few' | 'many'): string => median(p50s.map((p) => p[which])).toFixed(2)
      console.log(`\n${pair.operation} at ${perSecond}/s, open loop`)
      console.log(`  p50 at ${FEW_KEYS} keys ${ms('few')} ms, at ${manyKeys} keys ${ms('many')} ms`)
      const losses = losing({ 'REQUESTS FAILED': failed })
      console.log(`  ${manyKeys} : ${FEW_KEYS} keys  ${spread(ratios)}${losses}`)
    }
  } finally {
    await Promise.all([few.stop(), many.stop()])
  }
}

async function startFilled(keys: number): Promise<BenchDaemon> {
  const directory = join(CACHE, `state-${keys}-keys`)
  fillState(directory, keys)
  return await startBenchDaemon(directory)
}

async function steadyLoad(
  endpoint: KmsEndpoint,
  requests: readonly KmsRequest[],
): Promise<LoadResult> {
  const rate = { perSecond, arrivals: 'poisson' } as const
  return await runLoad({ endpoint, requests, warmupSeconds: 1, seconds, connections, rate })
}

/** Encryptions under keys from all over the token. */
async function encryptAll({ endpoint }: BenchDaemon): Promise<KmsRequest[]> {
  const keys = await someKeys(endpoint)
  return keys.map((KeyId) => ({ operation: 'Encrypt', body: { KeyId, Plaintext: PLAINTEXT } }))
}

async function decryptAll({ endpoint }: BenchDaemon): Promise<KmsRequest[]> {
  const requests: KmsRequest[] = []
  for (const keyId of await someKeys(endpoint))
    requests.push(...(await decryptRequests(endpoint, keyId, 1)))
  return requests
}

async function someKeys(endpoint: KmsEndpoint): Promise<string[]> {
  const ids = await keyIds(endpoint)
  const step = Math.max(1, Math.floor(ids.length / DISTINCT_REQUESTS))
  return ids.filter((_, i) => i % step === 0)
}

async function keyIds(endpoint: KmsEndpoint): Promise<string[]> {
  const ids: string[] = []
  let marker: { Marker?: string } = {}
  do {
    const page = await callKms<{ Keys: { KeyId: string }[]; NextMarker?: string }>(endpoint, {
      operation: 'ListKeys',
      body: { Limit: 1000, ...marker },
    })
    ids.push(...page.Keys.map((key) => key.KeyId))
    marker = page.NextMarker ? { Marker: page.NextMarker } : {}
  } while (marker.Marker)
  return ids
}

// ── start: from the spawn to the first 200 of /readyz ────────────────────────────────────────────────────────────────

async function start(): Promise<void> {
  for (const keys of [FEW_KEYS, manyKeys]) {
    const first = await startFilled(keys) // afterwards the pages of its files are in memory
    await first.stop()
    const times: number[] = []
    for (let i = 0; i < STARTS; i++) {
      const daemon = await startFilled(keys)
      times.push(daemon.readyMs)
      await daemon.stop()
    }
    const [least, most] = [Math.min(...times), Math.max(...times)].map((ms) => ms.toFixed(0))
    console.log(
      `\nstart with ${keys} keys: median ${median(times).toFixed(0)} ms, ${least} to ${most}`,
    )
  }
}

// ── fleet: the engines against each other, and one daemon against two ────────────────────────────────────────────────

function fleet(): Promise<void> {
  return compareFleets({ rounds, seconds, connections })
}

// ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function withFreshDaemon(work: (daemon: BenchDaemon) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-bench-'))
  const daemon = await startBenchDaemon(join(directory, 'state'))
  try {
    await work(daemon)
  } finally {
    await daemon.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

async function createKey(endpoint: KmsEndpoint): Promise<string> {
  const reply = await callKms<{ KeyMetadata: { KeyId: string } }>(endpoint, {
    operation: 'CreateKey',
    body: {},
  })
  return reply.KeyMetadata.KeyId
}

/** An encryption context makes each request another. */
function dataKeyRequests(KeyId: string): KmsRequest[] {
  return Array.from({ length: DISTINCT_REQUESTS }, (_, i) => ({
    operation: 'GenerateDataKey',
    body: { KeyId, KeySpec: 'AES_256', EncryptionContext: { request: String(i) } },
  }))
}

async function decryptRequests(
  endpoint: KmsEndpoint,
  KeyId: string,
  count = DISTINCT_REQUESTS,
): Promise<KmsRequest[]> {
  const requests: KmsRequest[] = []
  for (let i = 0; i < count; i++) {
    const EncryptionContext = { request: String(i) }
    const body = { KeyId, Plaintext: PLAINTEXT, EncryptionContext }
    const { CiphertextBlob } = await callKms<{ CiphertextBlob: string }>(endpoint, {
      operation: 'Encrypt',
      body,
    })
    requests.push({ operation: 'Decrypt', body: { CiphertextBlob, EncryptionContext } })
  }
  return requests
}
