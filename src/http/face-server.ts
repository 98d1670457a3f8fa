import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
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
import type { FaceDialect } from './face-dialect.ts'
import { HttpRefusal, type HttpRefusalCode } from './http-refusal.ts'
import { ReplyWriter } from './reply.ts'
import { KMS_DIALECT } from './wire-error.ts'

/** What a face's server needs beside its handler. */
export interface FaceServerParts {
  readonly clock: Clock
  /** The KMS face's when absent. */
  readonly dialect?: FaceDialect
  /** Certificate and key; without them the face speaks plain HTTP. */
  readonly tls?: TlsOptions
  /** How long a client may take to send a whole request, in milliseconds. */
  readonly requestTimeoutMs?: number
  /** How long a connection may wait for its next request. By default longer than the 60 s of the usual balancer. */
  readonly keepAliveTimeoutMs?: number
  /** How long a connection may stand still within a request and its answer; absent: for ever, as some KMS calls take long. */
  readonly stallTimeoutMs?: number
  /** Who comes on top is disconnected at once. By default what the process's descriptors allow. */
  readonly maxConnections?: number
}

/** Descriptors that lanes, files, the database and both other servers may need at once. */
const RESERVED_DESCRIPTORS = 128
const FEWEST_CONNECTIONS = 16
/** The KMS face and the XKS face: neither may take the other's. */
const FACES = 2
const USUAL_DESCRIPTORS = 1024

/**
 * AT-H17: how many connections one face takes, so that strangers use up no descriptor that a lane needs. `limits` is the text of
 * /proc/self/limits.
 */
export function connectionsOf(limits: string): number {
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(limits)?.[1]
  const descriptors = soft === 'unlimited' ? 2 ** 31 : Number(soft ?? USUAL_DESCRIPTORS)
  const each = Math.floor((descriptors - RESERVED_DESCRIPTORS) / FACES)
  return Math.max(FEWEST_CONNECTIONS, each)
}

function processLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8')
  } catch {
    return '' // not Linux
  }
}

/** Node's parser errors that have an answer of their own; every other one is a bad request. */
const PARSER_REFUSALS: ReadonlyMap<string | undefined, HttpRefusalCode> = new Map([
  ['HPE_HEADER_OVERFLOW', 'HEADERS_TOO_LARGE'],
  ['ERR_HTTP_REQUEST_TIMEOUT', 'TOO_SLOW'],
])

/** A server whose every answer is JSON with Date and request id, also where Node would answer by itself. */
export function createFaceServer(handler: RequestListener, parts: FaceServerParts): Server {
  const { clock, tls, dialect = KMS_DIALECT } = parts
  const options = serverOptions(parts)
  const server = tls
    ? createTlsServer({ ...options, ...tls }, handler)
    : createServer(options, handler)
  // A count would drop the headers behind it in silence (AT-H05); maxHeaderSize bounds them.
  server.maxHeadersCount = 0
  server.timeout = parts.stallTimeoutMs ?? 0
  server.maxConnections = parts.maxConnections ?? connectionsOf(processLimits())
  const refuse = refusalWriter(new ReplyWriter(clock, dialect), dialect)
  server.on('connect', (_request, socket: Duplex) => refuse(socket, 'NOT_POST'))
  server.on('checkExpectation', (_request, response) => refuse(response.socket, 'EXPECTATION'))
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) =>
    refuse(socket, PARSER_REFUSALS.get(error.code) ?? 'NOT_HTTP'),
  )
  return server
}

function serverOptions(parts: FaceServerParts): ServerOptions {
  const { requestTimeoutMs = 10_000, keepAliveTimeoutMs = 75_000 } = parts
  return {
    headersTimeout: requestTimeoutMs, // AT-H01, and AT-H02 for the body: slow senders are gone after 10 s
    requestTimeout: requestTimeoutMs,
    // AT-H01: thousands that are late at once are closed in small lots; once a second they held up everybody for one (2026-11-22).
    connectionsCheckingInterval: Math.min(100, requestTimeoutMs),
    keepAliveTimeout: keepAliveTimeoutMs, // so that we never close first
    maxHeaderSize: 16 * 1024,
    requireHostHeader: false, // Node would answer with an empty body; the signature check refuses it in JSON
  }
}

type Refuse = (socket: Duplex | null, code: HttpRefusalCode) => void

/** Answers on the socket itself, where Node has no response object for us (AT-H15), and closes it. */
function refusalWriter(replies: ReplyWriter, dialect: FaceDialect): Refuse {
  return (socket, code) => {
    if (!socket?.writable || isShakingHands(socket)) {
      socket?.destroy()
      return
    }
    const requestId = randomUUID()
    const { status, body } = dialect.wireError(new HttpRefusal(code), requestId)
    const head = replies.headers({ status, requestId, body, extra: { Connection: 'close' } })
    const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`)
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`, () =>
      socket.destroy(),
    )
  }
}

/** AT-H14: a TLS socket to which nothing can be said yet; an answer would wait in it for ever. */
function isShakingHands(socket: Duplex): boolean {
  return 'secureConnecting' in socket && socket.secureConnecting === true
}
