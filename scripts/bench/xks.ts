import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type LoadResult, runLoad } from '../../test/support/load-generator.ts'
import { median } from '../../test/support/percentiles.ts'
import { XksDaemonUnderTest, type XksDaemonOptions } from '../../test/support/xks-daemon.ts'
import { encryptCall, signedXksWire, type XksEndpoint } from '../../test/support/xks-request.ts'
import { childrenOf, machine } from './cpu-time.ts'
import { copyFilledState } from './fill-state.ts'
import { hasWrk } from './saturate.ts'
import { ScaledDaemon } from './scaled-daemon.ts'
import { compareWithEcho, spread } from './versus-echo.ts'

/**
 * `npm run bench:xks`: Encrypt as AWS KMS sends it, with a CDIV that is verified by decrypting, over TLS on connections that stay
 * open. Against a bare node:https echo of as many bytes; at many keys against few; at a fixed rate; and under overload.
 */

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '8' },
    connections: { type: 'string', default: '32' },
    rate: { type: 'string', default: '1800' },
    steady: { type: 'string', default: '60' },
    part: { type: 'string', multiple: true, default: ['speed', 'steady', 'scale', 'overload'] },
  },
})
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)
const connections = Number(values.connections)

const DISTINCT_REQUESTS = 400
const KEYS = 10
const PLAINTEXT = Buffer.alloc(32, 7)
const OVERLOAD = 4
const FEW_KEYS = 10
const MANY_KEYS = 10_000
const CACHE = join(import.meta.dirname, '..', '..', '.cache')
/** As a small network HSM: two lanes of two calls for each request make 500 requests a second. */
const SLOW_TOKEN = {
  callMs: 1,
  deadlinesMs: { use: 80, useTotal: 150, find: 5_000, write: 30_000 },
} as const

const PARTS: Readonly<Record<string, () => Promise<void>>> = { speed, steady, scale, overload }

interface Bench {
  readonly daemon: XksDaemonUnderTest
  readonly target: { readonly endpoint: XksEndpoint; readonly requests: ReturnType<typeof calls> }
  pids(): number[]
}

console.log(machine())
console.log(`load: ${hasWrk ? 'wrk -t1' : 'our own generator'}, ${connections} TLS connections`)
for (const name of values.part) {
  const part = Object.hasOwn(PARTS, name) ? PARTS[name] : undefined
  if (!part) throw new TypeError(`--part is one of ${Object.keys(PARTS).join(', ')}`)
  await part()
}

async function withBench(
  options: XksDaemonOptions,
  work: (bench: Bench) => Promise<void>,
): Promise<void> {
  const daemon = await XksDaemonUnderTest.start({ config: { log: { level: 'warn' } }, ...options })
  try {
    const keys: string[] = []
    for (let i = 0; i < KEYS; i++) keys.push(await daemon.createKey(`key-${i}`))
    await new Promise((resolve) => setTimeout(resolve, 3_000)) // every lane has learned of them
    const { pid } = daemon.daemon
    await work({
      daemon,
      target: { endpoint: daemon.endpoint(), requests: calls(keys) },
      pids: () => [pid, ...childrenOf(pid)],
    })
  } finally {
    await daemon.stop()
  }
}

/** Each with an AAD of its own, as the header of a KMS ciphertext is. */
function calls(keys: readonly string[]) {
  return Array.from({ length: DISTINCT_REQUESTS }, (_, i) =>
    encryptCall(keys[i % keys.length] ?? '', PLAINTEXT, Buffer.alloc(48, i)),
  )
}

// ── speed: the daemon against an echo ────────────────────────────────────────────────────────────────────────────────

function speed(): Promise<void> {
  return withBench({}, compare)
}

async function compare({ daemon, target, pids }: Bench): Promise<void> {
  const [first] = target.requests
  if (!first) throw new TypeError('there is no request')
  const answer = await daemon.call(first)
  const replyBytes = JSON.stringify(answer.body).length
  const requestBytes = signedXksWire(target.endpoint, first).length
  console.log(`\nEncrypt: ${requestBytes} bytes asked, ${replyBytes} bytes of body answered`)
  const { certFile, keyFile } = daemon
  const contestant = { target, replyBytes, pids, tls: { certFile, keyFile } }
  await compareWithEcho(contestant, { rounds, seconds, connections })
}

// ── steady: a fixed rate, latency from the intended send time ────────────────────────────────────────────────────────

function steady(): Promise<void> {
  return withBench({}, holdRate)
}

async function holdRate({ target }: Bench): Promise<void> {
  const perSecond = Number(values.rate)
  const result = await runLoad({
    ...target,
    connections: 64,
    warmupSeconds: 12, // until the compilers of all processes rest
    seconds: Number(values.steady),
    rate: { perSecond, arrivals: 'poisson' },
  })
  console.log(`\nEncrypt at ${perSecond}/s for ${values.steady} s, open loop`)
  console.log(`  ${latency(result)}, ${result.late} of ${result.sent} sent late${losses(result)}`)
}

// ── overload: what is still served when far more is asked than the token can do ──────────────────────────────────────

/** The token is slowed down to what a small HSM does, so that it is the token that is overloaded and not these two cores. */
async function overload(): Promise<void> {
  const options = { faults: { record: false }, profile: { deadlinesMs: SLOW_TOKEN.deadlinesMs } }
  await withBench(options, async ({ daemon, target }) => {
    const { callMs } = SLOW_TOKEN
    daemon.daemon.faults.rules([
      `C_Encrypt delay=${callMs} lane=hot`,
      `C_Decrypt delay=${callMs} lane=hot`,
    ])
    const peaks: number[] = []
    const goods: number[] = []
    const slowest: number[] = []
    let last: LoadResult | undefined
    for (let round = 0; round < rounds; round++) {
      const peak = await runLoad({ ...target, connections, warmupSeconds: 1, seconds })
      last = await runLoad({
        ...target,
        connections: 512,
        warmupSeconds: 1,
        seconds,
        rate: { perSecond: OVERLOAD * peak.perSecond, arrivals: 'poisson' },
      })
      peaks.push(peak.perSecond)
      goods.push((last.perSecond * last.ok) / last.sent)
      slowest.push(last.refusedMs.p99)
    }
    console.log(
      `\nEncrypt at ${OVERLOAD} times what the token can do, ${callMs} ms a call, open loop`,
    )
    console.log(`  peak ${median(peaks).toFixed(0)}/s, served ${median(goods).toFixed(0)}/s`)
    console.log(`  goodput : peak  ${spread(goods.map((good, i) => good / (peaks[i] ?? NaN)))}`)
    console.log(`  refusals: p99 ${median(slowest).toFixed(1)} ms${last ? losses(last) : ''}`)
  })
}

// ── scale: latency at few and at many keys in the token ──────────────────────────────────────────────────────────────

async function scale(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-bench-xks-'))
  const sides: ScaledDaemon[] = []
  try {
    for (const keys of [FEW_KEYS, MANY_KEYS]) {
      const state = join(directory, `state-${keys}`)
      copyFilledState(CACHE, keys, state)
      sides.push(await ScaledDaemon.start(state))
    }
    const [few, many] = sides as [ScaledDaemon, ScaledDaemon]
    const [fewMs, manyMs]: [number[], number[]] = [[], []]
    for (let round = 0; round < rounds; round++) {
      for (const [side, p50s] of [
        [few, fewMs],
        [many, manyMs],
      ] as const) {
        const rate = { perSecond: 200, arrivals: 'poisson' } as const
        const plan = { ...side.target, connections, warmupSeconds: 1, seconds, rate }
        p50s.push((await runLoad(plan)).latencyMs.p50)
      }
    }
    console.log('\nEncrypt at 200/s, open loop')
    console.log(
      `  p50 at ${FEW_KEYS} keys ${median(fewMs).toFixed(2)} ms, at ${MANY_KEYS} keys ${median(manyMs).toFixed(2)} ms`,
    )
    console.log(
      `  ${MANY_KEYS} : ${FEW_KEYS} keys  ${spread(manyMs.map((ms, i) => ms / (fewMs[i] ?? NaN)))}`,
    )
  } finally {
    for (const side of sides) await side.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

function latency({ latencyMs: { p50, p99, p999, max } }: LoadResult): string {
  return `p50 ${p50.toFixed(2)}, p99 ${p99.toFixed(2)}, p99.9 ${p999.toFixed(2)}, max ${max.toFixed(1)} ms`
}

function losses({ errors }: LoadResult): string {
  return Object.keys(errors).length === 0 ? '' : `, NOT SERVED ${JSON.stringify(errors)}`
}
