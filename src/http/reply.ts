import type { ServerResponse } from 'node:http'
import { TextOfSecond } from '../bytes/text-of-second.ts'
import type { Clock } from './clock.ts'
import type { FaceDialect } from './face-dialect.ts'

/** One answer, whether Node writes it or we write it to a bare socket. */
export interface Reply {
  readonly status: number
  readonly requestId: string
  readonly body: string
  /** Headers beyond those that every answer has. */
  readonly extra?: Readonly<Record<string, string>>
}

/** What a status brings along by itself. */
const STATUS_HEADERS: ReadonlyMap<number, Readonly<Record<string, string>>> = new Map([
  [405, { Allow: 'POST' }],
  [413, { Connection: 'close' }],
])

/** Gives every answer the same head. Date is our clock's: an SDK whose own is off corrects itself by it. */
export class ReplyWriter {
  readonly #clock: Clock
  readonly #dialect: FaceDialect
  /** RFC 9110 §5.6.7. */
  readonly #httpDate = new TextOfSecond((epochMs) => new Date(epochMs).toUTCString())

  constructor(clock: Clock, dialect: FaceDialect) {
    this.#clock = clock
    this.#dialect = dialect
  }

  send(response: ServerResponse, reply: Reply): void {
    if (response.headersSent || response.destroyed) return
    response.writeHead(reply.status, this.headers(reply))
    response.end(reply.body)
  }

  headers({ status, requestId, body, extra }: Reply): Record<string, string | number> {
    return {
      [this.#dialect.requestIdHeader]: requestId,
      'Content-Type': this.#dialect.contentType,
      'Content-Length': Buffer.byteLength(body),
      Date: this.#httpDate.at(this.#clock.now()),
      'Cache-Control': 'no-store',
      ...STATUS_HEADERS.get(status),
      ...extra,
    }
  }
}
