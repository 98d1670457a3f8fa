import { type ChildProcess, spawn } from 'node:child_process'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { deadlinePassed, LaneError, laneGone } from './lane-error.ts'
import {
  type CallClass,
  LANE_CALLS,
  type LaneCall,
  type LaneErrorReply,
  REQUEST_HEADER_BYTES,
  RESPONSE_HEADER_BYTES,
  STATUS_OK,
} from './lane-protocol.ts'
import { PendingCalls } from './pending-calls.ts'

const LANE_MAIN = fileURLToPath(new URL('./lane-main.ts', import.meta.url))
/** How late a deadline may be noticed. */
const DEADLINE_TICK_MS = 10

interface PendingCall {
  readonly call: LaneCall
  readonly deadlineAt: number
  readonly resolve: (payload: Buffer) => void
  readonly reject: (error: LaneError) => void
}

export interface LaneOptions {
  readonly name: string
  readonly environment: Readonly<Record<string, string>>
  /** Threads of the lane for promise-form calls; 1 keeps Node's default. */
  readonly callsPerLane: number
  readonly onGone: (lane: LaneProcess, cause: string) => void
  /** A call is past its deadline, and the lane has answered nothing else either for `silentMs`. */
  readonly onDeadline: (lane: LaneProcess, call: LaneCall, silentMs: number) => void
  readonly onLog: (lane: LaneProcess, line: string) => void
}

/** The front's end of one lane (ARCH-D1): sends frames, matches answers that come out of order, and watches deadlines. */
export class LaneProcess {
  readonly name: string
  /** Undefined when the system could not even try to start one. */
  readonly #child: ChildProcess | undefined
  /** Undefined when there was no descriptor left for it. */
  readonly #socket: Duplex | undefined
  readonly #options: LaneOptions
  readonly #pending = new PendingCalls<PendingCall>()
  #outgoing: Buffer[] = []
  #flushScheduled = false
  #unread: Buffer = Buffer.alloc(0)
  #deadlineTimer: NodeJS.Timeout | undefined
  /** When the lane last answered, or was last asked after having nothing to do. */
  #heardAt = Date.now()
  #tickedAt = 0
  #judgeFrom = 0
  /** A write is past its deadline and may still be going on. */
  #unansweredWrite = false
  readonly #ended = Promise.withResolvers<void>()
  #gone = false
  #dismissed = false

  constructor(options: LaneOptions) {
    this.name = options.name
    this.#options = options
    this.#child = this.#spawn()
    this.#socket = socketOf(this.#child)
    this.#socket?.on('data', (chunk: Buffer) => this.#receive(chunk))
    this.#socket?.on('error', () => {}) // the exit tells more
    if (!this.#socket) this.#endSoon('it could not be started')
  }

  /** Without descriptors or memory it fails in one of two ways, and neither may cost the daemon its life. */
  #spawn(): ChildProcess | undefined {
    try {
      const child = spawnLane(this.#options)
      child.on('error', (error) => this.#end(error.message)) // first: unheard it ends the whole process
      child.on('exit', (code, signal) => this.#end(signal ?? `exit code ${code}`))
      forwardLines(child, (line) => this.#options.onLog(this, line))
      return child
    } catch (error) {
      this.#endSoon((error as Error).message)
      return undefined
    }
  }

  /** Not at once: whoever makes the lane must have it before he hears that it is gone. */
  #endSoon(cause: string): void {
    setImmediate(() => this.#end(cause))
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  get pendingCalls(): number {
    return this.#pending.size
  }

  /** Whether frames wait to leave with this turn of the event loop: one more costs no system call. */
  get collecting(): boolean {
    return this.#flushScheduled
  }

  get gone(): boolean {
    return this.#gone
  }

  /** True while a call runs whose interruption could harm the token (login, object writes). */
  get writing(): boolean {
    return this.#unansweredWrite || this.#pendingOfClass('write')
  }

  /** Sends one call. Rejects with LaneError: what the lane said, `laneGone`, or `deadlinePassed`. */
  call(call: LaneCall, parts: readonly Buffer[], deadlineAt: number): Promise<Buffer> {
    if (this.#gone || this.#dismissed) return Promise.reject(laneGone(this.name))
    return new Promise((resolve, reject) => {
      if (this.#pending.size === 0) this.#heardAt = Date.now()
      const id = this.#pending.add({ call, deadlineAt, resolve, reject })
      this.#enqueue(id, call, parts, deadlineAt)
      if (!this.#deadlineTimer) this.#startWatch()
    })
  }

  async callJson<Reply>(call: LaneCall, request: object, deadlineAt: number): Promise<Reply> {
    const reply = await this.call(call, [Buffer.from(JSON.stringify(request))], deadlineAt)
    return JSON.parse(reply.toString('utf8')) as Reply
  }

  /** Waits until the lane says anything; false when it has not by `deadlineAt`. */
  async heardBy(deadlineAt: number): Promise<boolean> {
    const heardBefore = this.#heardAt
    while (Date.now() < deadlineAt && !this.#gone) {
      await new Promise((resolve) => setTimeout(resolve, DEADLINE_TICK_MS))
      if (this.#heardAt !== heardBefore) return true
    }
    return false
  }

  /** SIGKILL: the only thing that ends a hung native call. */
  kill(): void {
    this.#child?.kill('SIGKILL')
  }

  /** Lets the lane finish the call in hand and exit by itself. */
  dismiss(): void {
    this.#dismissed = true
    this.#flush()
    this.#socket?.end()
  }

  /** Resolves when the process has ended, or has turned out never to have begun. */
  ended(): Promise<void> {
    return this.#ended.promise
  }

  #pendingOfClass(callClass: CallClass): boolean {
    return this.#pending.find(({ call }) => LANE_CALLS[call].class === callClass) !== undefined
  }

  #enqueue(id: number, call: LaneCall, parts: readonly Buffer[], deadlineAt: number): void {
    let payloadBytes = 0
    for (const part of parts) payloadBytes += part.length
    const header = Buffer.allocUnsafe(REQUEST_HEADER_BYTES)
    header.writeUInt32BE(REQUEST_HEADER_BYTES - 4 + payloadBytes, 0)
    header.writeUInt32BE(id, 4)
    header.writeUInt8(LANE_CALLS[call].number, 8)
    header.writeDoubleBE(deadlineAt, 9)
    this.#outgoing.push(header, ...parts)
    if (this.#flushScheduled) return
    this.#flushScheduled = true
    setImmediate(() => this.#flush()) // all requests of one turn of the event loop leave in one write
  }

  #flush(): void {
    this.#flushScheduled = false
    if (this.#outgoing.length === 0 || this.#gone) return
    this.#socket?.write(Buffer.concat(this.#outgoing))
    this.#outgoing = []
  }

  #receive(chunk: Buffer): void {
    let bytes = chunk
    if (this.#unread.length > 0) {
      bytes = Buffer.concat([this.#unread, chunk])
      this.#unread.fill(0) // it may hold part of a plaintext
      chunk.fill(0)
    }
    let offset = 0
    while (bytes.length - offset >= 4) {
      const end = offset + 4 + bytes.readUInt32BE(offset)
      if (end > bytes.length) break
      this.#settle(bytes.subarray(offset, end))
      offset = end
    }
    this.#unread = offset === bytes.length ? Buffer.alloc(0) : Buffer.from(bytes.subarray(offset))
  }

  #settle(frame: Buffer): void {
    this.#heardAt = Date.now()
    const pending = this.#pending.take(frame.readUInt32BE(4))
    if (!pending) return // answered too late: its deadline has already been reported
    this.#stopWatchWhenIdle()
    const payload = frame.subarray(RESPONSE_HEADER_BYTES)
    if (frame.readUInt8(8) === STATUS_OK) pending.resolve(payload)
    else pending.reject(new LaneError(JSON.parse(payload.toString('utf8')) as LaneErrorReply))
  }

  #stopWatchWhenIdle(): void {
    if (this.#pending.size > 0) return
    clearInterval(this.#deadlineTimer)
    this.#deadlineTimer = undefined
  }

  #startWatch(): void {
    this.#tickedAt = Date.now()
    this.#deadlineTimer = setInterval(() => this.#watchDeadlines(), DEADLINE_TICK_MS)
  }

  #watchDeadlines(): void {
    const late = Date.now() - this.#tickedAt - DEADLINE_TICK_MS
    this.#tickedAt = Date.now()
    // Whoever slept this long, with the whole machine perhaps, must not judge others by the clock.
    if (late > DEADLINE_TICK_MS) this.#judgeFrom = Date.now() + late
    if (Date.now() < this.#judgeFrom || this.#anyOverdue() === undefined) return
    // An answer may already lie in the socket because this process was the slow one: let it be read first.
    setImmediate(() => {
      const overdue = this.#anyOverdue()
      if (overdue === undefined || this.#gone) return
      this.#rejectOverdue()
      this.#options.onDeadline(this, overdue, Date.now() - this.#heardAt)
    })
  }

  #anyOverdue(): LaneCall | undefined {
    const now = Date.now()
    return this.#pending.find(({ deadlineAt }) => deadlineAt < now)?.call
  }

  #rejectOverdue(): void {
    const now = Date.now()
    const overdue = this.#pending.takeAll(({ deadlineAt }) => deadlineAt < now)
    this.#stopWatchWhenIdle()
    for (const { call, reject } of overdue) {
      if (LANE_CALLS[call].class === 'write') this.#unansweredWrite = true
      reject(deadlinePassed(this.name, call))
    }
  }

  #end(cause: string): void {
    if (this.#gone) return
    this.#gone = true
    clearInterval(this.#deadlineTimer)
    this.#socket?.destroy()
    const pending = this.#pending.takeAll()
    this.#options.onGone(this, cause) // first: the pool takes the lane out before the calls are tried again
    for (const { reject } of pending) reject(laneGone(this.name))
    this.#ended.resolve()
  }
}

/**
 * The shell forbids core dumps, which would hold PIN and plaintexts (AT-K02), and becomes the lane. As SCHED_BATCH (sched(7)) a lane
 * that is handed work does not take the processor from the front, which has more work to hand out: on two cores that makes 6 % more
 * requests (nine rounds, 2026-11-22). Where there is no chrt, or it may not, the lane runs all the same.
 */
const BECOME_LANE =
  'ulimit -c 0; chrt --batch 0 true 2>/dev/null && exec chrt --batch 0 "$0" "$@"; exec "$0" "$@"'

/**
 * A lane makes buffers rather than objects, and V8 frees thousands of them in one pause: 21 ms with its usual young generation, 4 ms with
 * this one. Full collections come seldom, and with one thread beside the lane's own. At 1,800 requests a second on two cores that took
 * the slowest thousandth from about 45 ms to 9 to 36 (2026-11-22).
 */
const SHORT_PAUSES = ['--max-semi-space-size=2', '--heap-growing-percent=300', '--v8-pool-size=1']

function spawnLane(options: LaneOptions): ChildProcess {
  const flags = [...SHORT_PAUSES, '--disable-warning=ExperimentalWarning', '--disable-sigusr1']
  return spawn(
    '/bin/sh',
    ['-c', BECOME_LANE, process.execPath, ...flags, LANE_MAIN, options.name],
    {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      env: {
        ...options.environment,
        ...(options.callsPerLane > 1
          ? { UV_THREADPOOL_SIZE: String(options.callsPerLane + 2) }
          : {}),
      },
    },
  )
}

/** Out of descriptors, Node gives a child without any stdio, whatever the types say. */
function socketOf(child: ChildProcess | undefined): Duplex | undefined {
  const stdio: ChildProcess['stdio'] | undefined = child?.stdio
  return (stdio?.[3] ?? undefined) as Duplex | undefined
}

function forwardLines(child: ChildProcess, onLine: (line: string) => void): void {
  let unfinished = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (unfinished + text).split('\n')
    unfinished = lines.pop() ?? ''
    for (const line of lines) if (line !== '') onLine(line)
  })
}
