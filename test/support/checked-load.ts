import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { KmsEndpoint } from './kms-request.ts'
import type { Percentiles } from './percentiles.ts'

export interface CheckedLoadPlan {
  readonly endpoint: KmsEndpoint
  /** With others requests go to all in turn, and one that fails is sent once more, to the next. */
  readonly others?: readonly KmsEndpoint[]
  readonly keyId: string
  /** Requests a second, due whether or not the daemon keeps up: half Encrypt, half Decrypt of what Encrypt has given. */
  readonly perSecond: number
}

export interface FailedRequest {
  /** When it was due, in epoch milliseconds. */
  readonly atMs: number
  readonly operation: 'Encrypt' | 'Decrypt'
  /** The exception's name; the system's code (ECONNREFUSED) where there was no answer. */
  readonly name: string
  readonly message: string
}

export interface CheckedLoadResult {
  readonly sent: number
  readonly ok: number
  /** Decrypt answered 200 with bytes that were never encrypted. */
  readonly wrong: number
  readonly failures: readonly FailedRequest[]
  /** Requests that were sent once more. */
  readonly repeated: number
  /** Of all answers, from when the request was due. */
  readonly latencyMs: Percentiles
}

export interface CheckedLoad {
  /** No more requests; the result once all answers are in. */
  stop(): Promise<CheckedLoadResult>
}

/**
 * Load from a process of its own that decrypts every ciphertext once and compares, and repeats a request only where it has
 * another endpoint to ask. Resolves when the first answers are in.
 */
export async function startCheckedLoad(plan: CheckedLoadPlan): Promise<CheckedLoad> {
  const child = fork(join(import.meta.dirname, 'checked-load-process.ts'), { execArgv: [] })
  const ended = once(child, 'exit').then(([code, signal]): never => {
    throw new Error(`the load process ended without a result (${code ?? signal})`)
  })
  ended.catch(() => undefined)
  const message = () => Promise.race([once(child, 'message'), ended])
  child.send(plan)
  await message()
  return {
    stop: async () => {
      const answer = message()
      child.send('stop')
      const [result] = await answer
      return result as CheckedLoadResult
    },
  }
}
