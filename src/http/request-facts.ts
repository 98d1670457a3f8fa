import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { RequestFacts } from '../kms/caller.ts'

const MAX_USER_AGENT = 1024

/** What policies and the audit record know of a request beside its body. */
export function factsOf(
  { socket, headers }: IncomingMessage,
  requestId: string,
  receivedAt: number,
): RequestFacts {
  return {
    requestId,
    sourceIp: plainAddress(socket.remoteAddress ?? ''),
    secureTransport: (socket as TLSSocket).encrypted === true,
    userAgent: (headers['user-agent'] ?? '').slice(0, MAX_USER_AGENT),
    receivedAt,
  }
}

/** A dual-stack socket shows IPv4 peers as `::ffff:192.0.2.1`; policies write `192.0.2.1`. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address
}
