import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { CheckedLoadPlan, CheckedLoadResult, FailedRequest } from './checked-load.ts'
import { KmsClient } from './kms-client.ts'
import { percentiles } from './percentiles.ts'

/** The process behind `startCheckedLoad`: a plan comes in as a message, then `stop`; a result goes out. */

const PLAINTEXT_BYTES = 64
const TICK_MS = 4

class CheckedRequests {
  readonly #clients: readonly KmsClient[]
  readonly #keyId: string
  /** Ciphertexts that were not decrypted yet, oldest first. */
  readonly #made: { readonly blob: string; readonly plaintext: Buffer }[] = []
  readonly #failures: FailedRequest[] = []
  readonly #latencies: number[] = []
  #sent = 0
  #wrong = 0
  #repeated = 0
  #turn = 0

  constructor({ endpoint, others = [], keyId }: CheckedLoadPlan) {
    this.#clients = [endpoint, ...others].map((it) => new KmsClient(it))
    this.#keyId = keyId
  }

  /** One request: Encrypt and Decrypt in turn, for as long as there is something to decrypt. */
  async send(dueMs: number): Promise<void> {
    const made = this.#sent++ % 2 === 0 ? undefined : this.#made.shift()
    try {
      await (made ? this.#decrypt(made.blob, made.plaintext) : this.#encrypt())
    } catch (error) {
      const { name, message, cause } = error as Error & { cause?: { code?: string } }
      this.#failures.push({
        atMs: performance.timeOrigin + dueMs,
        operation: made ? 'Decrypt' : 'Encrypt',
        name: cause?.code ?? name, // fetch wraps what the system said
        message,
      })
    }
    this.#latencies.push(performance.now() - dueMs)
  }

  async #encrypt(): Promise<void> {
    const plaintext = randomBytes(PLAINTEXT_BYTES)
    const blob = await this.#ask((kms) => kms.encrypt(this.#keyId, plaintext))
    this.#made.push({ blob, plaintext })
  }

  async #decrypt(blob: string, plaintext: Buffer): Promise<void> {
    if (!plaintext.equals(await this.#ask((kms) => kms.decrypt(blob)))) this.#wrong++
  }

  async #ask<Answer>(work: (kms: KmsClient) => Promise<Answer>): Promise<Answer> {
    const turn = this.#turn++
    try {
      return await work(this.#client(turn))
    } catch (error) {
      if (this.#clients.length === 1) throw error
      this.#repeated += 1
      return await work(this.#client(turn + 1))
    }
  }

  #client(turn: number): KmsClient {
    return this.#clients[turn % this.#clients.length] as KmsClient
  }

  result(): CheckedLoadResult {
    return {
      sent: this.#sent,
      ok: this.#sent - this.#failures.length - this.#wrong,
      wrong: this.#wrong,
      failures: this.#failures,
      repeated: this.#repeated,
      latencyMs: percentiles(this.#latencies),
    }
  }
}

async function perform(plan: CheckedLoadPlan): Promise<void> {
  const requests = new CheckedRequests(plan)
  await requests.send(performance.now()) // connections and caches are warm before the clock runs
  await requests.send(performance.now())
  process.send?.('started')
  let stopped = false
  process.once('message', () => (stopped = true))
  const running: Promise<void>[] = []
  const gapMs = 1000 / plan.perSecond
  for (let dueMs = performance.now(); !stopped; await pause(TICK_MS))
    for (; dueMs <= performance.now(); dueMs += gapMs) running.push(requests.send(dueMs))
  await Promise.all(running)
  process.send?.(requests.result(), () => process.exit(0))
}

process.on('disconnect', () => process.exit(1)) // who started us is gone
process.once('message', (plan: CheckedLoadPlan) => void perform(plan))
