import { randomBytes } from 'node:crypto'
import { Agent } from 'node:https'
import type { Duplex } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import type { FailedRequest } from './checked-load.ts'
import type { CheckedXksLoadPlan, CheckedXksLoadResult } from './checked-xks-load.ts'
import { percentiles } from './percentiles.ts'
import { XksClient } from './xks-client.ts'
import type { XksAnswer, XksEndpoint } from './xks-request.ts'

/**
 * The process behind `startCheckedXksLoad`: a plan comes in as a message, then endpoints to turn to and `stop`; a result goes
 * out.
 */

const PLAINTEXT_BYTES = 64
const TICK_MS = 4
const CONNECTIONS = 64

/** Counts connections that end before the load does. */
class CountingAgent extends Agent {
  dropped = 0

  constructor() {
    super({ keepAlive: true, maxCachedSessions: 0, maxSockets: CONNECTIONS }) // beyond 256 it would close idle ones itself
  }

  override createConnection(
    ...args: Parameters<Agent['createConnection']>
  ): Duplex | null | undefined {
    const socket = super.createConnection(...args)
    socket?.once('close', () => {
      this.dropped += 1
    })
    return socket
  }
}

interface Made {
  readonly sealed: XksAnswer['body']
  readonly plaintext: Buffer
}

class CheckedRequests {
  readonly #agent = new CountingAgent()
  readonly #client: XksClient
  readonly #plan: CheckedXksLoadPlan
  /** Ciphertexts that wait to be decrypted, oldest first. */
  readonly #made: Made[] = []
  readonly #failures: FailedRequest[] = []
  readonly #latencies: number[] = []
  readonly #running = new Set<Promise<void>>()
  #sent = 0
  #wrong = 0

  constructor(plan: CheckedXksLoadPlan) {
    this.#plan = plan
    this.#client = new XksClient(plan.endpoint, this.#agent)
  }

  /** One request: Encrypt and Decrypt in turn, for as long as there is something to decrypt. */
  send(dueMs: number): Promise<void> {
    const sending = this.#send(dueMs).finally(() => this.#running.delete(sending))
    this.#running.add(sending)
    return sending
  }

  async #send(dueMs: number): Promise<void> {
    const { keepsOld, made } = this.#next()
    try {
      await (made ? this.#decrypt(made) : this.#encrypt())
    } catch (error) {
      const { name, message, code } = error as Error & { code?: string }
      this.#failures.push({
        atMs: performance.timeOrigin + dueMs,
        operation: made ? 'Decrypt' : 'Encrypt',
        name: code ?? name,
        message,
      })
    }
    if (made && keepsOld) this.#made.push(made)
    this.#latencies.push(performance.now() - dueMs)
  }

  #next(): { made: Made | undefined; keepsOld: boolean } {
    const turn = this.#sent++
    const keepsOld = this.#plan.keepsOld === true
    const encrypts = keepsOld ? turn % 3 === 0 : turn % 2 === 0
    return { made: encrypts ? undefined : this.#made.shift(), keepsOld }
  }

  async #encrypt(): Promise<void> {
    const plaintext = randomBytes(PLAINTEXT_BYTES)
    const sealed = await this.#client.encrypt(this.#plan.keyId, plaintext)
    this.#made.push({ sealed, plaintext })
  }

  async #decrypt({ sealed, plaintext }: Made): Promise<void> {
    const opened = await this.#client.decrypt(this.#plan.keyId, sealed)
    if (!plaintext.equals(opened)) this.#wrong += 1
  }

  async turnTo(endpoint: XksEndpoint): Promise<void> {
    this.#client.endpoint = endpoint
    await this.idle()
  }

  /** Resolves when what is on its way now is answered. */
  async idle(): Promise<void> {
    await Promise.all(this.#running)
  }

  result(): CheckedXksLoadResult {
    return {
      sent: this.#sent,
      ok: this.#sent - this.#failures.length - this.#wrong,
      wrong: this.#wrong,
      failures: this.#failures,
      latencyMs: percentiles(this.#latencies),
      dropped: this.#agent.dropped,
    }
  }
}

async function perform(plan: CheckedXksLoadPlan): Promise<void> {
  const requests = new CheckedRequests(plan)
  await requests.send(performance.now()) // connections and caches are warm before the clock runs
  await requests.send(performance.now())
  process.send?.('started')
  let stopped = false
  process.on('message', (message: XksEndpoint | 'stop') => {
    if (message === 'stop') stopped = true
    else void requests.turnTo(message).then(() => process.send?.('turned'))
  })
  const gapMs = 1000 / plan.perSecond
  for (let dueMs = performance.now(); !stopped; await pause(TICK_MS))
    for (; dueMs <= performance.now(); dueMs += gapMs) void requests.send(dueMs)
  await requests.idle()
  process.send?.(requests.result(), () => process.exit(0))
}

process.on('disconnect', () => process.exit(1)) // who started us is gone
process.once('message', (plan: CheckedXksLoadPlan) => void perform(plan))
