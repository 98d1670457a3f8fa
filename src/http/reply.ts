import type { ServerResponse } from 'node:http'
import type { Clock } from './clock.ts'

const CONTENT_TYPE = 'application/x-amz-json-1.1'

/** One answer, whether Node writes it or we write it to a bare socket. */
export interface Reply {
  readonly status: number
  readonly requestId: string
  readonly body: string
  /** Headers beyond those that every answer has. */
  readonly extra?: Readonly<Record<string, string>>
}

/** Gives every answer the same head. Date is our clock's: an SDK whose own is off corrects itself by it. */
export class ReplyWriter {
  readonly #clock: Clock
  #second = -1
  #date = ''

  constructor(clock: Clock) {
    this.#clock = clock
  }

  send(response: ServerResponse, reply: Reply): void {
    if (response.headersSent || response.destroyed) return
    response.writeHead(reply.status, this.headers(reply))
    response.end(reply.body)
  }

  headers({ requestId, body, extra }: Reply): Record<string, string | number> {
    return {
      'x-amzn-RequestId': requestId,
      'Content-Type': CONTENT_TYPE,
      'Content-Length': Buffer.byteLength(body),
      Date: this.#httpDate(),
      'Cache-Control': 'no-store',
      ...extra,
    }
  }

  /** RFC 9110 §5.6.7; made once a second. */
  #httpDate(): string {
    const second = Math.floor(this.#clock.now() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#date = new Date(second * 1000).toUTCString()
    }
    return this.#date
  }
}
