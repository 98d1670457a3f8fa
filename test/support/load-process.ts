import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { connect as connectTls } from 'node:tls'
import { type LoadPlan, type LoadResult, wireOf, wiresOf } from './load-generator.ts'
import type { MetronomeData } from './load-metronome.ts'
import { monotonicMs } from './monotonic.ts'
import { percentiles } from './percentiles.ts'

/** The process behind `startLoad`: a plan comes in as a message, a result goes out. */

const RESIGN_AFTER_MS = 120_000 // signatures live ±5 minutes
const ERROR_SAMPLES = 10
const METRONOME_START_MS = 50 // a thread needs about 30

/** Requests in turn, as bytes with a signature that is still good. */
class SignedRequests {
  readonly #plan: LoadPlan
  readonly #signed: { wire: Buffer; atMs: number }[]
  #next = 0
  constructor(plan: LoadPlan) {
    this.#plan = plan
    this.#signed = wiresOf(plan).map((wire) => ({ wire, atMs: monotonicMs() }))
  }
  next(): Buffer {
    const index = this.#next++ % this.#signed.length
    const entry = this.#signed[index]
    if (!entry) throw new TypeError('a plan needs at least one request')
    if (monotonicMs() - entry.atMs > RESIGN_AFTER_MS) {
      entry.wire = wireOf(this.#plan, index)
      entry.atMs = monotonicMs()
    }
    return entry.wire
  }
}

class Tally {
  readonly #latencies: number[] = []
  readonly #refusals: number[] = []
  readonly #errors = new Map<string, number>()
  readonly #samples: string[] = []
  readonly #measureFromMs: number
  #sent = 0
  #ok = 0
  #late = 0
  #answered = 0
  constructor(measureFromMs: number) {
    this.#measureFromMs = measureFromMs
  }
  sent(dueMs: number): void {
    this.#sent++
    if (monotonicMs() - dueMs > 1) this.#late++
  }
  answered(dueMs: number, status: number, body: string): void {
    if (status === 200) this.#ok++
    else this.failed(exceptionName(body) ?? `HTTP ${status}`, body)
    if (dueMs < this.#measureFromMs) return
    this.#answered++
    this.#latencies.push(monotonicMs() - dueMs)
    if (status !== 200) this.#refusals.push(monotonicMs() - dueMs)
  }
  failed(name: string, detail: string): void {
    this.#errors.set(name, (this.#errors.get(name) ?? 0) + 1)
    if (this.#samples.length < ERROR_SAMPLES) this.#samples.push(`${name}: ${detail}`)
  }
  result(endMs: number): LoadResult {
    return {
      sent: this.#sent,
      ok: this.#ok,
      errors: Object.fromEntries(this.#errors),
      errorSamples: this.#samples,
      latencyMs: percentiles(this.#latencies),
      refusedMs: percentiles(this.#refusals),
      perSecond: (this.#answered * 1000) / Math.max(1, endMs - this.#measureFromMs),
      late: this.#late,
    }
  }
}

function exceptionName(body: string): string | undefined {
  const type = /"(?:__type|errorName)"\s*:\s*"([^"]+)"/.exec(body)?.[1]
  return type?.split('#').at(-1)
}

function connectTo(endpoint: LoadPlan['endpoint']): Socket {
  const { host, port } = endpoint
  const ca = 'ca' in endpoint ? endpoint.ca : undefined
  if (ca === undefined) return connect({ host, port, noDelay: true })
  const socket = connectTls({ host, port, ca, servername: 'localhost' })
  socket.setNoDelay(true)
  return socket
}

const HEAD_END = Buffer.from('\r\n\r\n')

/** One kept-alive connection with at most one request on its way; it connects again when it was cut. */
class Connection {
  readonly #plan: LoadPlan
  readonly #tally: Tally
  readonly #onIdle: (connection: Connection) => void
  #socket: Socket | undefined
  #received: Buffer = Buffer.alloc(0)
  #dueMs: number | undefined
  #timer: NodeJS.Timeout | undefined
  constructor(plan: LoadPlan, tally: Tally, onIdle: (connection: Connection) => void) {
    this.#plan = plan
    this.#tally = tally
    this.#onIdle = onIdle
  }
  get busy(): boolean {
    return this.#dueMs !== undefined
  }
  send(wire: Buffer, dueMs: number): void {
    this.#dueMs = dueMs
    this.#timer ??= setTimeout(() => this.#fail('TIMEOUT'), this.#plan.timeoutMs ?? 5000)
    this.#timer.refresh()
    this.#socket ??= this.#connect()
    this.#socket.write(wire)
    this.#tally.sent(dueMs)
  }
  close(): void {
    clearTimeout(this.#timer)
    this.#socket?.destroy()
    this.#socket = undefined
  }
  #connect(): Socket {
    const socket = connectTo(this.#plan.endpoint)
    const lost = (name: string) => () => {
      if (this.#socket === socket) this.#fail(name)
    }
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', (error: NodeJS.ErrnoException) => lost(error.code ?? error.name)())
    socket.on('close', lost('CLOSED'))
    return socket
  }
  #fail(name: string): void {
    const dueMs = this.#dueMs
    this.close()
    this.#timer = undefined
    this.#received = Buffer.alloc(0)
    if (dueMs === undefined) return // closed while idle, as a server may
    this.#tally.failed(name, `after ${(monotonicMs() - dueMs).toFixed(1)} ms`)
    this.#dueMs = undefined
    this.#onIdle(this)
  }
  #receive(chunk: Buffer): void {
    this.#received = this.#received.length ? Buffer.concat([this.#received, chunk]) : chunk
    const headEnd = this.#received.indexOf(HEAD_END)
    if (headEnd < 0 || this.#dueMs === undefined) return
    const head = this.#received.toString('latin1', 0, headEnd)
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
    if (length === undefined) return this.#fail('NO_CONTENT_LENGTH')
    const end = headEnd + HEAD_END.length + Number(length)
    if (this.#received.length < end) return
    const status = Number(head.slice(9, 12))
    const body = status === 200 ? '' : this.#received.toString('utf8', headEnd + 4, end)
    this.#tally.answered(this.#dueMs, status, body)
    this.#dueMs = undefined
    this.#received = this.#received.subarray(end)
    if (/\r\nconnection: *close/i.test(head)) this.close()
    this.#onIdle(this)
  }
}

async function perform(plan: LoadPlan, stopped: Promise<unknown>): Promise<LoadResult> {
  const requests = new SignedRequests(plan)
  const startMs = monotonicMs() + (plan.rate ? METRONOME_START_MS : 0)
  const warmupMs = (plan.warmupSeconds ?? 0) * 1000
  let endMs = startMs + warmupMs + plan.seconds * 1000
  const tally = new Tally(startMs + warmupMs)
  const send = plan.rate ? openLoop() : closedLoop()
  const connections = Array.from(
    { length: plan.connections },
    () => new Connection(plan, tally, send.onIdle),
  )
  void stopped.then(() => {
    endMs = Math.min(endMs, monotonicMs())
  })
  await send.run()
  await until(() => connections.every((connection) => !connection.busy))
  for (const connection of connections) connection.close()
  return tally.result(endMs)

  function closedLoop() {
    const onIdle = (connection: Connection): void => {
      const now = monotonicMs()
      if (now < endMs) connection.send(requests.next(), now)
    }
    return {
      onIdle,
      run: async () => {
        connections.forEach(onIdle)
        await until(() => monotonicMs() >= endMs)
      },
    }
  }

  function openLoop() {
    const due: number[] = [] // waiting for a connection, oldest first
    const sendDue = (connection: Connection): void => {
      const dueMs = due.shift()
      if (dueMs !== undefined) connection.send(requests.next(), dueMs)
    }
    return {
      onIdle: sendDue,
      run: async () => {
        const workerData: MetronomeData = {
          startMs,
          endMs,
          ...(plan.rate as Required<LoadPlan>['rate']),
        }
        const metronome = new Worker(join(import.meta.dirname, 'load-metronome.ts'), { workerData })
        metronome.on('message', (dueMs: number) => {
          if (dueMs >= endMs) return // stopped before its time
          due.push(dueMs)
          const idle = connections.find((connection) => !connection.busy)
          if (idle) sendDue(idle)
        })
        await until(() => monotonicMs() >= endMs)
        await metronome.terminate()
        await until(() => due.length === 0)
      },
    }
  }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5))
}

process.on('disconnect', () => process.exit(1)) // who started us is gone
process.once('message', (plan: LoadPlan) => {
  const stopped = new Promise((resolve) => process.once('message', resolve))
  void perform(plan, stopped).then((result) => process.send?.(result, () => process.exit(0)))
})
