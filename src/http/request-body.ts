import type { IncomingMessage } from 'node:http'
import { HttpRefusal } from './http-refusal.ts'

/** What is read and thrown away, so that a client that only overdid it a little reads its answer and no reset. */
const DISCARDED_TIMES = 8
/** So many chunks become one: a chunk of a single byte costs 213 bytes beside it (Node 24, 2026-11-22). */
const MOST_CHUNKS = 256

/** Memory that all bodies on their way in share: of whom they are is not known before they are whole. */
export class BodyBudget {
  readonly #refusal: () => Error
  #freeBytes: number

  /** `refusal` makes what is thrown when `mostBytes` are in use. */
  constructor(mostBytes: number, refusal: () => Error) {
    this.#freeBytes = mostBytes
    this.#refusal = refusal
  }

  get freeBytes(): number {
    return this.#freeBytes
  }

  take(bytes: number): void {
    if (bytes > this.#freeBytes) throw this.#refusal()
    this.#freeBytes -= bytes
  }

  giveBack(bytes: number): void {
    this.#freeBytes += bytes
  }
}

/**
 * Reads a whole body of at most `mostBytes`. How long it may take is the server's `requestTimeout`. Its memory counts in `budget`
 * until it is whole. Rejects with HttpRefusal, or as the budget refuses.
 */
export function readBody(
  request: IncomingMessage,
  mostBytes: number,
  budget?: BodyBudget,
): Promise<Buffer> {
  const body = new IncomingBody(request, mostBytes, budget)
  return body.whole()
}

class IncomingBody {
  readonly #request: IncomingMessage
  readonly #mostBytes: number
  readonly #budget: BodyBudget | undefined
  readonly #whole = Promise.withResolvers<Buffer>()
  #chunks: Buffer[] = []
  #bytes = 0
  #takenBytes = 0
  #settled = false

  constructor(request: IncomingMessage, mostBytes: number, budget: BodyBudget | undefined) {
    this.#request = request
    this.#mostBytes = mostBytes
    this.#budget = budget
  }

  whole(): Promise<Buffer> {
    const request = this.#request
    if (declaredBytes(request) > DISCARDED_TIMES * this.#mostBytes) this.#refuse(tooLarge())
    else {
      request.on('data', (chunk: Buffer) => this.#receive(chunk))
      request.on('end', () => this.#end())
      request.on('error', () => this.#abandon())
      request.on('close', () => this.#abandon())
    }
    return this.#whole.promise
  }

  #receive(chunk: Buffer): void {
    if (this.#settled) return
    this.#bytes += chunk.length
    if (this.#bytes > DISCARDED_TIMES * this.#mostBytes) return this.#refuse(tooLarge())
    if (this.#bytes > this.#mostBytes) return this.#drop() // AT-H04: what will be refused is not kept
    try {
      this.#take(chunk.length)
    } catch (refusal) {
      return this.#refuse(refusal as Error)
    }
    if (this.#chunks.push(chunk) >= MOST_CHUNKS) this.#chunks = [joined(this.#chunks)]
  }

  #end(): void {
    if (this.#bytes > this.#mostBytes) return this.#refuse(tooLarge())
    if (this.#settled) return
    this.#settled = true
    this.#whole.resolve(joined(this.#chunks))
    this.#chunks = [] // the reader's from now on
    this.#drop()
  }

  /** The client went away or was timed out: nobody will read the answer. After a whole body it is only the end of the exchange. */
  #abandon(): void {
    if (!this.#settled) this.#refuse(new HttpRefusal('TOO_SLOW'))
  }

  #refuse(error: Error): void {
    if (this.#settled) return
    this.#settled = true
    this.#drop()
    this.#whole.reject(error)
  }

  #take(bytes: number): void {
    this.#budget?.take(bytes)
    this.#takenBytes += bytes
  }

  #drop(): void {
    for (const chunk of this.#chunks) chunk.fill(0) // AT-K09
    this.#chunks = []
    this.#budget?.giveBack(this.#takenBytes)
    this.#takenBytes = 0
  }
}

/**
 * Resolves when the client has sent the rest of its request, or more of it than one of at most `mostBytes` would get away with, or is
 * gone.
 */
export function bodyPassed(request: IncomingMessage, mostBytes: number): Promise<void> {
  return new Promise((resolve) => {
    const most = DISCARDED_TIMES * mostBytes
    if (request.readableEnded || request.destroyed || declaredBytes(request) > most)
      return resolve()
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > most) resolve()
    })
    for (const event of ['end', 'error', 'close']) request.once(event, () => resolve())
  })
}

function declaredBytes({ headers }: IncomingMessage): number {
  return Number(headers['content-length'] ?? 0)
}

function tooLarge(): HttpRefusal {
  return new HttpRefusal('BODY_TOO_LARGE')
}

/** AT-K09: whoever wipes the body has wiped all of it. */
function joined(chunks: readonly Buffer[]): Buffer {
  if (chunks.length === 1) return chunks[0] as Buffer
  const body = Buffer.concat(chunks)
  for (const chunk of chunks) chunk.fill(0)
  return body
}
