import type { Answer } from './answer.ts'
import { NoAnswer } from './nonconformity.ts'

const HEAD_END = '\r\n\r\n'
const MOST_BYTES = 4 * 1024 * 1024

type Head = Pick<Answer, 'status' | 'headers'>
type Whole = Omit<Answer, 'milliseconds'> & { readonly keepsAlive: boolean }

/** Reads one HTTP/1.1 answer out of the pieces in which it comes. */
export class AnswerReader {
  readonly #bodyless: boolean
  #bytes: Buffer = Buffer.alloc(0)

  /** `bodyless`: an answer to HEAD. */
  constructor(bodyless: boolean) {
    this.#bodyless = bodyless
  }

  get empty(): boolean {
    return this.#bytes.length === 0
  }

  /** The answer, once it is whole. Throws NoAnswer for what is not HTTP. */
  add(piece: Buffer): Whole | undefined {
    this.#bytes = Buffer.concat([this.#bytes, piece])
    if (this.#bytes.length > MOST_BYTES) throw new NoAnswer('an answer without end')
    return this.#read(false)
  }

  /** What there is when the connection ends: some answers end with it. */
  end(): Whole | undefined {
    return this.#read(true)
  }

  #read(ended: boolean): Whole | undefined {
    const headEnd = this.#bytes.indexOf(HEAD_END)
    if (headEnd < 0) return undefined
    const head = parseHead(this.#bytes.toString('latin1', 0, headEnd))
    const rest = this.#bytes.subarray(headEnd + HEAD_END.length)
    if (head.status >= 100 && head.status < 200 && head.status !== 101) {
      this.#bytes = rest
      return this.#read(ended)
    }
    const body = this.#bodyless ? Buffer.alloc(0) : readBody(head, rest, ended)
    if (body === undefined) return undefined
    const keepsAlive = !ended && head.headers.get('connection')?.[0]?.toLowerCase() !== 'close'
    return { ...head, body, keepsAlive }
  }
}

function parseHead(text: string): Head {
  const [statusLine = '', ...lines] = text.split('\r\n')
  const [, status] = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(statusLine) ?? []
  if (status === undefined) throw new NoAnswer('something that is not HTTP/1.1')
  const headers = new Map<string, string[]>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1).trim()])
  }
  return { status: Number(status), headers }
}

function readBody({ status, headers }: Head, bytes: Buffer, ended: boolean): Buffer | undefined {
  if (status === 204 || status === 304) return Buffer.alloc(0)
  if (headers.get('transfer-encoding')?.[0]?.toLowerCase() === 'chunked') return unchunk(bytes)
  const length = headers.get('content-length')?.[0]
  if (length === undefined) return ended ? bytes : undefined
  const end = Number(length)
  return bytes.length >= end ? bytes.subarray(0, end) : undefined
}

function unchunk(bytes: Buffer): Buffer | undefined {
  const chunks: Buffer[] = []
  let at = 0
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd < 0) return undefined
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
    if (Number.isNaN(size)) throw new NoAnswer('a chunk without a size')
    const start = lineEnd + 2
    if (size === 0) return bytes.indexOf('\r\n', start) < 0 ? undefined : Buffer.concat(chunks)
    if (bytes.length < start + size + 2) return undefined
    chunks.push(bytes.subarray(start, start + size))
    at = start + size + 2
  }
}
