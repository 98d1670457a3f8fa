import { randomUUID } from 'node:crypto'
import {
  createServer,
  type RequestListener,
  type Server,
  type ServerOptions,
  STATUS_CODES,
} from 'node:http'
import { createServer as createTlsServer, type ServerOptions as TlsOptions } from 'node:https'
import type { Duplex } from 'node:stream'
import type { Clock } from './clock.ts'
import { ReplyWriter } from './reply.ts'
import { HttpRefusal, type HttpRefusalCode, wireError } from './wire-error.ts'

/** What a face's server needs beside its handler. */
export interface FaceServerParts {
  readonly clock: Clock
  /** Certificate and key; without them the face speaks plain HTTP. */
  readonly tls?: TlsOptions
  /** How long a client may take to send a whole request, in milliseconds. */
  readonly requestTimeoutMs?: number
}

/** Node's parser errors that have an answer of their own; every other one is a bad request. */
const PARSER_REFUSALS: ReadonlyMap<string | undefined, HttpRefusalCode> = new Map([
  ['HPE_HEADER_OVERFLOW', 'HEADERS_TOO_LARGE'],
  ['ERR_HTTP_REQUEST_TIMEOUT', 'TOO_SLOW'],
])

/** A server whose every answer is JSON with Date and request id, also where Node would answer by itself. */
export function createFaceServer(handler: RequestListener, parts: FaceServerParts): Server {
  const { clock, tls, requestTimeoutMs = 10_000 } = parts
  const options = serverOptions(requestTimeoutMs)
  const server = tls
    ? createTlsServer({ ...options, ...tls }, handler)
    : createServer(options, handler)
  // A count would drop the headers behind it in silence (AT-H05); maxHeaderSize bounds them.
  server.maxHeadersCount = 0
  const replies = new ReplyWriter(clock)
  server.on('connect', (_request, socket: Duplex) => refuse(socket, 'NOT_POST', replies))
  server.on('checkExpectation', (_request, response) =>
    refuse(response.socket, 'EXPECTATION', replies),
  )
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) =>
    refuse(socket, PARSER_REFUSALS.get(error.code) ?? 'NOT_HTTP', replies),
  )
  return server
}

function serverOptions(requestTimeoutMs: number): ServerOptions {
  return {
    headersTimeout: requestTimeoutMs, // AT-H01, and AT-H02 for the body: slow senders are gone after 10 s
    requestTimeout: requestTimeoutMs,
    connectionsCheckingInterval: Math.min(1_000, requestTimeoutMs),
    keepAliveTimeout: 75_000, // longer than the 60 s of the usual balancer, so that we never close first
    maxHeaderSize: 16 * 1024,
    requireHostHeader: false, // Node would answer with an empty body; the signature check refuses it in JSON
  }
}

/** Answers on the socket itself, where Node has no response object for us (AT-H15), and closes it. */
function refuse(socket: Duplex | null, code: HttpRefusalCode, replies: ReplyWriter): void {
  if (!socket?.writable) {
    socket?.destroy()
    return
  }
  const requestId = randomUUID()
  const { status, body } = wireError(new HttpRefusal(code), requestId)
  const head = replies.headers({ status, requestId, body, extra: { Connection: 'close' } })
  const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`, () =>
    socket.destroy(),
  )
}
