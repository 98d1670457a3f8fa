import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { FailedRequest } from './checked-load.ts'
import type { Percentiles } from './percentiles.ts'
import type { XksEndpoint } from './xks-request.ts'

export interface CheckedXksLoadPlan {
  readonly endpoint: XksEndpoint
  readonly keyId: string
  /** Requests a second, due whether or not the daemon keeps up: half Encrypt, half Decrypt of what Encrypt has given. */
  readonly perSecond: number
  /** Two of three requests decrypt one that was decrypted before, so that it is asked for as long as the load runs. */
  readonly keepsOld?: boolean
}

export interface CheckedXksLoadResult {
  readonly sent: number
  readonly ok: number
  /** Decrypt answered 200 with bytes that were never encrypted. */
  readonly wrong: number
  /** Nothing is repeated. */
  readonly failures: readonly FailedRequest[]
  /** Of all answers, from when the request was due. */
  readonly latencyMs: Percentiles
  /** Connections that the daemon ended or that broke. */
  readonly dropped: number
}

export interface CheckedXksLoad {
  /** Requests go there, or as whom it says, from now on; resolves when those before are answered. */
  turnTo(endpoint: XksEndpoint): Promise<void>
  /** No more requests; the result once all answers are in. */
  stop(): Promise<CheckedXksLoadResult>
}

/** `startCheckedLoad` for the XKS face. The CDIV of each encryption is checked. Resolves when the first answers are in. */
export async function startCheckedXksLoad(plan: CheckedXksLoadPlan): Promise<CheckedXksLoad> {
  const child = fork(join(import.meta.dirname, 'checked-xks-load-process.ts'), { execArgv: [] })
  const ended = once(child, 'exit').then(([code, signal]): never => {
    throw new Error(`the load process ended without a result (${code ?? signal})`)
  })
  ended.catch(() => undefined)
  const answerTo = async (message: unknown): Promise<unknown> => {
    const answer = Promise.race([once(child, 'message'), ended])
    child.send(message as object)
    return (await answer)[0]
  }
  await answerTo(plan)
  return {
    turnTo: async (endpoint) => void (await answerTo(endpoint)),
    stop: async () => (await answerTo('stop')) as CheckedXksLoadResult,
  }
}
