import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type LoadResult, runLoad, type LoadTarget } from '../../test/support/load-generator.ts'
import { median } from '../../test/support/percentiles.ts'
import { XksDaemonUnderTest } from '../../test/support/xks-daemon.ts'
import { encryptCall, signedXksWire, type XksEndpoint } from '../../test/support/xks-request.ts'
import { childrenOf, cpuUs, machine } from './cpu-time.ts'
import { hasWrk, type Saturation, saturate } from './saturate.ts'

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
    part: { type: 'string', multiple: true, default: ['speed', 'steady', 'overload'] },
  },
})
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)
const connections = Number(values.connections)

const DISTINCT_REQUESTS = 400
const KEYS = 10
const PLAINTEXT = Buffer.alloc(32, 7)
const OVERLOAD = 4

const PARTS: Readonly<Record<string, (bench: Bench) => Promise<void>>> = { speed, steady, overload }

interface Bench {
  readonly daemon: XksDaemonUnderTest
  readonly target: { readonly endpoint: XksEndpoint; readonly requests: ReturnType<typeof calls> }
  pids(): number[]
}

console.log(machine())
console.log(`load: ${hasWrk ? 'wrk -t1' : 'our own generator'}, ${connections} TLS connections`)
await withBench(async (bench) => {
  for (const name of values.part) {
    const part = Object.hasOwn(PARTS, name) ? PARTS[name] : undefined
    if (!part) throw new TypeError(`--part is one of ${Object.keys(PARTS).join(', ')}`)
    await part(bench)
  }
})

async function withBench(work: (bench: Bench) => Promise<void>): Promise<void> {
  const daemon = await XksDaemonUnderTest.start({ config: { log: { level: 'warn' } } })
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

async function speed({ daemon, target, pids }: Bench): Promise<void> {
  const [first] = target.requests
  if (!first) throw new TypeError('there is no request')
  const answer = await daemon.call(first)
  const replyBytes = JSON.stringify(answer.body).length
  const requestBytes = signedXksWire(target.endpoint, first).length
  const echo = await startEcho(replyBytes, daemon)
  const echoTarget = { ...target, endpoint: { ...target.endpoint, port: echo.port } }
  console.log(`\nEncrypt: ${requestBytes} bytes asked, ${replyBytes} bytes of body answered`)
  try {
    for (const one of [target, echoTarget]) await saturate(one, { connections, seconds: 2 })
    const ratios: number[] = []
    const [daemonRounds, echoRounds]: [Round[], Round[]] = [[], []]
    for (let round = 0; round < rounds; round++) {
      const a = await measure(echoTarget, () => [echo.pid])
      const b = await measure(target, pids)
      echoRounds.push(a)
      daemonRounds.push(b)
      ratios.push(b.perSecond / a.perSecond)
    }
    console.log(`  echo    ${describe(echoRounds)}`)
    console.log(`  daemon  ${describe(daemonRounds)}`)
    console.log(`  daemon : echo  ${spread(ratios)}`)
  } finally {
    echo.stop()
  }
}

interface Round extends Saturation {
  /** CPU microseconds per request of each process, the first one first, then the busiest. */
  readonly cpu: readonly number[]
}

async function measure(target: LoadTarget, pids: () => readonly number[]): Promise<Round> {
  const before = new Map(pids().map((pid) => [pid, cpuUs(pid)]))
  const outcome = await saturate(target, { connections, seconds })
  const spent = pids().map((pid) => (cpuUs(pid) - (before.get(pid) ?? 0)) / outcome.requests)
  const [first = 0, ...others] = spent
  return { ...outcome, cpu: [first, ...others.filter((us) => us >= 0.5).sort((a, b) => b - a)] }
}

function describe(all: readonly Round[]): string {
  const middle = (figure: (round: Round) => number): number => median(all.map(figure))
  const processes = Math.max(...all.map(({ cpu }) => cpu.length))
  const cpu = Array.from({ length: processes }, (_, i) => middle((r) => r.cpu[i] ?? 0).toFixed(0))
  const failed = all.reduce((sum, round) => sum + round.failed, 0)
  return (
    `${middle((r) => r.perSecond).toFixed(0)}/s, p50 ${middle((r) => r.p50Ms).toFixed(2)} ms, ` +
    `p99 ${middle((r) => r.p99Ms).toFixed(2)} ms, CPU µs per request ${cpu.join(' + ')}` +
    (failed > 0 ? `, ${failed} REQUESTS FAILED` : '')
  )
}

function spread(ratios: readonly number[]): string {
  const figure = (value: number): string => value.toFixed(3)
  return `median ${figure(median(ratios))}, min ${figure(Math.min(...ratios))}, max ${figure(Math.max(...ratios))}`
}

async function startEcho(replyBytes: number, { certFile, keyFile }: XksDaemonUnderTest) {
  const program = join(import.meta.dirname, 'echo-server.ts')
  const child = spawn(process.execPath, [program, String(replyBytes), certFile, keyFile], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { pid: child.pid as number, port: Number(line.toString()), stop: () => void child.kill() }
}

// ── steady: a fixed rate, latency from the intended send time ────────────────────────────────────────────────────────

async function steady({ target }: Bench): Promise<void> {
  const perSecond = Number(values.rate)
  const result = await runLoad({
    ...target,
    connections: 64,
    warmupSeconds: 2,
    seconds: Number(values.steady),
    rate: { perSecond, arrivals: 'poisson' },
  })
  console.log(`\nEncrypt at ${perSecond}/s for ${values.steady} s, open loop`)
  console.log(`  ${latency(result)}, ${result.late} of ${result.sent} sent late${losses(result)}`)
}

// ── overload: what is still served when far more is asked than can be ────────────────────────────────────────────────

async function overload({ target }: Bench): Promise<void> {
  const peaks: number[] = []
  const goods: number[] = []
  let refusal: LoadResult | undefined
  for (let round = 0; round < rounds; round++) {
    const peak = await saturateClosed(target, connections)
    refusal = await saturateClosed(target, connections * OVERLOAD * 8)
    peaks.push(peak.ok / seconds)
    goods.push(refusal.ok / seconds)
  }
  const ratios = goods.map((good, i) => good / (peaks[i] ?? NaN))
  console.log(`\noverload: ${connections} connections against ${connections * OVERLOAD * 8}`)
  console.log(`  served ${median(peaks).toFixed(0)}/s and ${median(goods).toFixed(0)}/s`)
  console.log(`  goodput : peak  ${spread(ratios)}${refusal ? losses(refusal) : ''}`)
}

function saturateClosed(target: Bench['target'], many: number): Promise<LoadResult> {
  return runLoad({ ...target, connections: many, warmupSeconds: 1, seconds })
}

function latency({ latencyMs: { p50, p99, p999, max } }: LoadResult): string {
  return `p50 ${p50.toFixed(2)}, p99 ${p99.toFixed(2)}, p99.9 ${p999.toFixed(2)}, max ${max.toFixed(1)} ms`
}

function losses({ errors }: LoadResult): string {
  return Object.keys(errors).length === 0 ? '' : `, NOT SERVED ${JSON.stringify(errors)}`
}
