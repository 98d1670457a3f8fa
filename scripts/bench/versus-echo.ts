import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { LoadTarget } from '../../test/support/load-generator.ts'
import { median } from '../../test/support/percentiles.ts'
import { cpuUs } from './cpu-time.ts'
import { type Saturation, saturate } from './saturate.ts'

/** What is measured against an echo of as many bytes. */
export interface Contestant {
  readonly target: LoadTarget
  /** Of the body that it answers. */
  readonly replyBytes: number
  /** The front process, then its lanes. */
  pids(): readonly number[]
  /** PEM files of certificate and key; without them the echo speaks plain HTTP. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string }
}

export interface RoundsOptions {
  readonly rounds: number
  readonly seconds: number
  readonly connections: number
}

export interface Round extends Saturation {
  /** CPU microseconds per request of each process: the server, then its lanes, the busiest first. */
  readonly cpu: readonly number[]
  /** Lanes that were killed during the round. */
  readonly replaced: number
}

/** Saturates echo and daemon in turns, A B A B, prints both and the ratio, and answers the daemon's rounds. */
export async function compareWithEcho(
  { target, replyBytes, pids, tls }: Contestant,
  options: RoundsOptions,
): Promise<readonly Round[]> {
  const echo = await startEcho(replyBytes, tls)
  const echoTarget = { ...target, endpoint: { ...target.endpoint, port: echo.port } } as LoadTarget
  try {
    for (const one of [target, echoTarget]) await saturate(one, { ...options, seconds: 2 }) // warm-up of both
    const ratios: number[] = []
    const daemonRounds: Round[] = []
    const echoRounds: Round[] = []
    for (let round = 0; round < options.rounds; round++) {
      const a = await measure(echoTarget, () => [echo.pid], options)
      const b = await measure(target, pids, options)
      echoRounds.push(a)
      daemonRounds.push(b)
      ratios.push(b.perSecond / a.perSecond)
    }
    console.log(`  echo    ${describe(echoRounds)}`)
    console.log(`  daemon  ${describe(daemonRounds)}`)
    console.log(`  daemon : echo    ${spread(ratios)}`)
    return daemonRounds
  } finally {
    echo.stop()
  }
}

/** What a figure must not hide. */
export function losing(counts: Readonly<Record<string, number>>): string {
  const losses = Object.entries(counts).filter(([, count]) => count > 0)
  return losses.map(([what, count]) => `, ${count} ${what}`).join('')
}

export function spread(ratios: readonly number[]): string {
  const figure = (value: number): string => value.toFixed(3)
  return `median ${figure(median(ratios))}, min ${figure(Math.min(...ratios))}, max ${figure(Math.max(...ratios))}`
}

async function measure(
  target: LoadTarget,
  pids: () => readonly number[],
  options: RoundsOptions,
): Promise<Round> {
  const before = new Map(pids().map((pid) => [pid, cpuUs(pid)]))
  const outcome = await saturate(target, options)
  const now = pids()
  const cpu = now.map((pid) => (cpuUs(pid) - (before.get(pid) ?? 0)) / outcome.requests)
  const [first = 0, ...lanes] = cpu
  const replaced = [...before.keys()].filter((pid) => !now.includes(pid)).length
  return { ...outcome, cpu: [first, ...lanes.filter(isAtWork).sort((a, b) => b - a)], replaced }
}

/** Cold lane and spare only wait. */
function isAtWork(cpuPerRequest: number): boolean {
  return cpuPerRequest >= 0.5
}

function describe(all: readonly Round[]): string {
  const middle = (figure: (round: Round) => number): number => median(all.map(figure))
  const processes = Math.max(...all.map((round) => round.cpu.length))
  const cpu = Array.from({ length: processes }, (_, i) => middle((r) => r.cpu[i] ?? 0).toFixed(0))
  const rate = `${middle((r) => r.perSecond).toFixed(0)}/s`
  const latency = `p50 ${middle((r) => r.p50Ms).toFixed(2)} ms, p99 ${middle((r) => r.p99Ms).toFixed(2)} ms`
  const lanes = processes > 1 ? ' (front, then its lanes)' : ''
  const sum = (figure: (round: Round) => number): number => all.reduce((n, r) => n + figure(r), 0)
  const losses = losing({
    'REQUESTS FAILED': sum((r) => r.failed),
    'LANES REPLACED': sum((r) => r.replaced),
  })
  return `${rate}, ${latency}, CPU µs per request ${cpu.join(' + ')}${lanes}${losses}`
}

async function startEcho(replyBytes: number, tls: Contestant['tls']) {
  const program = join(import.meta.dirname, 'echo-server.ts')
  const files = tls ? [tls.certFile, tls.keyFile] : []
  const child = spawn(process.execPath, [program, String(replyBytes), ...files], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { pid: child.pid as number, port: Number(line.toString()), stop: () => void child.kill() }
}
