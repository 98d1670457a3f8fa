import type { Socket } from 'node:net'
import { Lane } from './lane.ts'
import { fault, faultReply, laneErrorOf } from './lane-fault.ts'
import { type Reply, type RequestFrame, RequestReader, replyBytes } from './lane-frames.ts'
import { findLaneCall, LANE_CALLS, type LaneCall } from './lane-protocol.ts'
import { runSteps, runStepsAsync } from './lane-steps.ts'

/** How long a reply may wait for others to leave with it. */
const REPLY_WITHIN_MS = 2

/** EX_SOFTWARE: the two ends do not speak the same language. */
const EXIT_PROTOCOL = 70

/** Answers requests from the socket until the front goes away; then finishes what has begun and ends the process. */
export class LaneServer {
  readonly #socket: Socket
  readonly #lane = new Lane()
  readonly #reader = new RequestReader()
  readonly #waiting: RequestFrame[] = []
  #underWay = 0
  #outgoing: Reply[] = []
  #frontGone = false

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk) => this.#receive(chunk))
    socket.on('end', () => this.#leave())
    socket.on('close', () => this.#leave())
    socket.on('error', () => this.#leave())
  }

  #receive(chunk: Buffer): void {
    for (const frame of this.#read(chunk)) this.#waiting.push(frame)
    this.#work()
  }

  #read(chunk: Buffer): RequestFrame[] {
    try {
      return this.#reader.read(chunk)
    } catch (error) {
      return protocolBroken(String(error))
    }
  }

  /**
   * Begins what may begin. Replies leave in one write, but none waits longer than a moment for the next: a slow token would make
   * a whole batch late, and a lane that says nothing looks as if it hung.
   */
  #work(): void {
    let flushedAt = performance.now()
    for (let frame = this.#waiting[0]; frame && this.#mayBegin(frame); frame = this.#waiting[0]) {
      this.#waiting.shift()
      if (this.#lane.callsAtOnce === 1 || isExclusive(frame)) this.#outgoing.push(this.#run(frame))
      else void this.#runAside(frame)
      if (performance.now() - flushedAt < REPLY_WITHIN_MS) continue
      this.#flush()
      flushedAt = performance.now()
    }
    this.#flush()
  }

  /** What searches, logs in or writes has the lane for itself: no other session is in use then (FM-R8). */
  #mayBegin(frame: RequestFrame): boolean {
    return isExclusive(frame) ? this.#underWay === 0 : this.#underWay < this.#lane.callsAtOnce
  }

  #run(frame: RequestFrame): Reply {
    try {
      return succeeded(frame, runSteps(this.#begin(frame)))
    } catch (error) {
      return failed(frame, error)
    } finally {
      frame.wipe()
    }
  }

  async #runAside(frame: RequestFrame): Promise<void> {
    this.#underWay += 1
    const reply = await this.#runAsync(frame)
    this.#underWay -= 1
    this.#outgoing.push(reply)
    setImmediate(() => this.#work()) // calls that end in one turn of the event loop are answered together
  }

  async #runAsync(frame: RequestFrame): Promise<Reply> {
    try {
      return succeeded(frame, await runStepsAsync(this.#begin(frame)))
    } catch (error) {
      return failed(frame, error)
    } finally {
      frame.wipe()
    }
  }

  #begin(frame: RequestFrame) {
    const call = callOf(frame)
    if (Date.now() > frame.deadlineAt)
      throw fault('DEADLINE', 'keep', `the deadline of ${call} had passed before it began`)
    return this.#lane.begin(call, frame.payload, frame.deadlineAt)
  }

  #flush(): void {
    if (this.#outgoing.length > 0 && this.#socket.writable) {
      const bytes = replyBytes(this.#outgoing)
      this.#socket.write(bytes, () => bytes.fill(0))
    }
    this.#outgoing = []
    this.#exitWhenIdle()
  }

  #leave(): void {
    if (this.#frontGone) return
    this.#frontGone = true
    this.#exitWhenIdle()
  }

  /** No C_Finalize: the end of the process gives everything back, and finalizing beside a call is a crash (FM-R3). */
  #exitWhenIdle(): void {
    if (!this.#frontGone || this.#underWay > 0 || this.#waiting.length > 0) return
    if (this.#socket.writable) this.#socket.end(() => process.exit(0))
    else process.exit(0)
  }
}

function isExclusive(frame: RequestFrame): boolean {
  return LANE_CALLS[callOf(frame)].class !== 'use'
}

function callOf({ callNumber }: RequestFrame): LaneCall {
  return findLaneCall(callNumber) ?? protocolBroken(`call number ${callNumber} is unknown`)
}

function succeeded({ id }: RequestFrame, payload: Buffer): Reply {
  return { id, ok: true, payload }
}

function failed({ id }: RequestFrame, error: unknown): Reply {
  const reply = faultReply(laneErrorOf(error))
  return { id, ok: false, payload: Buffer.from(JSON.stringify(reply)) }
}

function protocolBroken(message: string): never {
  process.stderr.write(`${JSON.stringify({ level: 'error', message })}\n`)
  process.exit(EXIT_PROTOCOL)
}
