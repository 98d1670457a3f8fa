import type { RequestListener, Server } from 'node:http'
import type { Server as TlsServer } from 'node:https'
import type { Clock } from './clock.ts'
import { createFaceServer } from './face-server.ts'
import type { XksTls } from './xks-tls.ts'
import { XKS_DIALECT } from './xks-wire-error.ts'

export interface XksServerParts {
  readonly clock: Clock
  /** Without it the face speaks plain HTTP: behind a front that ends TLS only (XKS T-04). */
  readonly tls?: XksTls
  /** How long a connection may wait for its next request. */
  readonly keepAliveTimeoutMs?: number
  /** How long a client may take to send a whole request. */
  readonly requestTimeoutMs?: number
  /** How long a client may take to read an answer without taking a byte. */
  readonly stallTimeoutMs?: number
  /** By default what the process's descriptors allow. */
  readonly maxConnections?: number
}

/** XKS T-13: AWS's network load balancers forget a connection after 350 s. We must not close it first. */
const KEEP_ALIVE_MS = 370_000
/** AT-H03: after the time for a request, so that a slow one hears 408. */
const STALL_MS = 12_000

/** The server of the XKS face: HTTP/1.1 alone (XKS T-02), every answer JSON (XKS X-14), over TLS unless a front ends that. */
export function createXksServer(handle: RequestListener, parts: XksServerParts): Server {
  const { clock, tls, requestTimeoutMs, maxConnections } = parts
  const server = createFaceServer(tls?.front(handle) ?? handle, {
    clock,
    dialect: XKS_DIALECT,
    keepAliveTimeoutMs: parts.keepAliveTimeoutMs ?? KEEP_ALIVE_MS,
    stallTimeoutMs: parts.stallTimeoutMs ?? STALL_MS,
    ...(requestTimeoutMs !== undefined && { requestTimeoutMs }),
    ...(maxConnections !== undefined && { maxConnections }),
    ...(tls && { tls: tls.options }),
  })
  tls?.guard(server as TlsServer)
  return server
}
