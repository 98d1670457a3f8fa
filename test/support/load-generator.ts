import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type KmsEndpoint, type KmsRequest, signedWire } from './kms-request.ts'
import { signedXksWire, type XksCall, type XksEndpoint } from './xks-request.ts'
import type { Percentiles } from './percentiles.ts'

/** Requests are sent in turn, for ever; each is signed once and again before its signature gets old. */
export type LoadTarget =
  | { readonly endpoint: KmsEndpoint; readonly requests: readonly KmsRequest[] }
  | { readonly endpoint: XksEndpoint; readonly requests: readonly XksCall[] }

export type LoadPlan = LoadTarget & LoadShape

export interface LoadShape {
  readonly seconds: number
  /** Seconds before `seconds` whose latencies are not counted; errors are. */
  readonly warmupSeconds?: number
  readonly connections: number
  /**
   * Open loop: requests are due at this rate whether or not the server keeps up, and latency counts from the moment they
   * were due. Without it the loop is closed: each connection sends when it has its answer.
   */
  readonly rate?: { readonly perSecond: number; readonly arrivals: 'poisson' | 'fixed' }
  /** After this long without an answer a request counts as the error TIMEOUT. Default 5,000. */
  readonly timeoutMs?: number
}

export interface LoadResult {
  readonly sent: number
  readonly ok: number
  /** By the exception's name; by the system's code (ECONNRESET) or TIMEOUT where there was no answer. */
  readonly errors: Readonly<Record<string, number>>
  /** The first few errors, with the answer's body. */
  readonly errorSamples: readonly string[]
  /** Milliseconds, of answered requests, from when they were due (open loop) or sent (closed loop). */
  readonly latencyMs: Percentiles
  /** The same of those that were answered with another status than 200. */
  readonly refusedMs: Percentiles
  /** Answers a second, warm-up left out. */
  readonly perSecond: number
  /** Requests that left more than 1 ms after they were due: the generator's or the connections' share of the latency. */
  readonly late: number
}

export interface LoadRun {
  /** Settles when the time is over and all answers are in. */
  readonly result: Promise<LoadResult>
  /** Ends the run before its time. */
  stop(): void
}

/** V8's: with the usual ones the generator stood still for 30 ms now and then, and told it of the server. */
const SHORT_PAUSES = ['--max-semi-space-size=64', '--heap-growing-percent=400', '--v8-pool-size=1']

/** Sends load from a process of its own, so that it shares no event loop with what it measures. */
export function startLoad(plan: LoadPlan): LoadRun {
  const child = fork(join(import.meta.dirname, 'load-process.ts'), {
    execArgv: SHORT_PAUSES,
    serialization: 'advanced',
  })
  child.send(plan)
  return { result: resultOf(child), stop: () => child.send('stop') }
}

async function resultOf(child: ReturnType<typeof fork>): Promise<LoadResult> {
  const exit = once(child, 'exit').then(([code, signal]): never => {
    throw new Error(`the load process ended without a result (${code ?? signal})`)
  })
  const [result] = await Promise.race([once(child, 'message') as Promise<[LoadResult]>, exit])
  return result
}

/** `startLoad`, to its end. */
export async function runLoad(plan: LoadPlan): Promise<LoadResult> {
  return await startLoad(plan).result
}

/** The bytes of each request, signed now. */
export function wiresOf(plan: LoadTarget): Buffer[] {
  return plan.requests.map((_request, i) => wireOf(plan, i))
}

export function wireOf(plan: LoadTarget, index: number): Buffer {
  if ('uriPathPrefix' in plan.endpoint)
    return signedXksWire(plan.endpoint, plan.requests[index] as XksCall)
  return signedWire(plan.endpoint, plan.requests[index] as KmsRequest)
}
