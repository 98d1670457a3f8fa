import { constants, createPrivateKey, X509Certificate } from 'node:crypto'
import type { RequestListener } from 'node:http'
import type { Server, ServerOptions } from 'node:https'
import type { Socket } from 'node:net'
import { createSecureContext, type SecureContextOptions, type TLSSocket } from 'node:tls'
import { presentedChain } from './certificate-path.ts'
import { ClientConnection } from './client-connection.ts'
import { ClientGate, type ProvenClient } from './client-gate.ts'
import { SparseLog, type WarningLogger } from './sparse-log.ts'
import { attempt, type TlsMaterial, TlsMaterialError } from './tls-material.ts'

/** XKS T-11: the common name in the certificate by which AWS KMS shows itself. */
export function kmsSubjectName(region: string): string {
  return `cks.kms.${region}.amazonaws.com`
}

/** XKS T-03: the four suites of the specification, and no other. */
const SUITES = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
].join(':')

// AT-H12: without tickets, and without a session cache, which Node leaves to those who ask for one, nobody resumes a session
// that was opened under an earlier CA.
const SECURE_OPTIONS =
  constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION

export interface XksTlsOptions {
  readonly logger?: WarningLogger
  readonly handshakeTimeoutMs?: number
}

/** TLS of the XKS face; its certificates can be changed while it serves. */
export class XksTls {
  #material: TlsMaterial
  /** Undefined: clients need no certificate. */
  #gate: ClientGate | undefined
  readonly #handshakeTimeoutMs: number
  readonly #logger: WarningLogger | undefined
  readonly #refusals: SparseLog | undefined
  readonly #servers: Server[] = []
  /** The CAs by which those under way are judged. */
  readonly #handshakes = new Map<string, ReadonlySet<string>>()
  readonly #connections = new Map<unknown, ClientConnection>()

  /** Throws TlsMaterialError. */
  constructor(material: TlsMaterial, { logger, handshakeTimeoutMs = 5_000 }: XksTlsOptions = {}) {
    this.#gate = material.clients && new ClientGate(material.clients)
    secureContextOf(material, this.#gate)
    this.#material = material
    this.#handshakeTimeoutMs = handshakeTimeoutMs
    this.#logger = logger
    this.#refusals = logger && new SparseLog(logger, () => performance.now())
    this.#warnOfOldLists()
  }

  /** For the making of a server. */
  get options(): ServerOptions {
    return {
      ...secureContextOf(this.#material, this.#gate),
      ALPNProtocols: ['http/1.1'], // XKS T-02
      handshakeTimeout: this.#handshakeTimeoutMs, // AT-H14
      requestCert: this.#gate !== undefined,
      rejectUnauthorized: this.#gate !== undefined,
    }
  }

  /** Looks at every client of the server, and changes its certificates from now on. */
  guard(server: Server): void {
    this.#servers.push(server)
    if (!this.#gate) return
    server.prependListener('connection', (raw: Socket) => this.#noteHandshake(raw))
    // In front of the listener that begins to read HTTP.
    server.prependListener('secureConnection', (socket) => this.#assertPermitted(socket))
    server.on('tlsClientError', (_error, socket) => {
      const reason: unknown = socket.authorizationError // by its types an Error, in truth a code
      if (reason) this.#refusals?.warn('client certificate refused', { reason })
    })
  }

  /** In front of what answers requests: those on a connection that a reload has ended never get there. */
  front(handle: RequestListener): RequestListener {
    if (!this.#gate) return handle
    return (request, response) => {
      if (this.#connections.get(request.socket)?.begin(response)) handle(request, response)
    }
  }

  /**
   * Checks what is to be used from now on, and answers what puts it into use and does not fail: new connections are made with the
   * new material, and those whose client it would not let in are ended. Throws TlsMaterialError.
   */
  prepare(material: TlsMaterial): () => void {
    if ((material.clients !== undefined) !== (this.#gate !== undefined)) {
      throw new TlsMaterialError(
        'CLIENT_RULE',
        'whether clients need a certificate changes with a restart only',
      )
    }
    const gate = material.clients && new ClientGate(material.clients)
    gate?.assertCurrent(Date.now()) // the former lists may still let clients in, this one nobody
    const context = secureContextOf(material, gate)
    return () => {
      this.#material = material
      this.#gate = gate
      for (const server of this.#servers) server.setSecureContext(context)
      this.#endRefused()
    }
  }

  /** A reload may come before the handshake ends. */
  #noteHandshake(raw: Socket): void {
    const peer = peerOf(raw)
    if (!this.#gate) return
    this.#handshakes.set(peer, this.#gate.trusted)
    raw.once('close', () => this.#handshakes.delete(peer))
  }

  /** XKS T-10: the chain and the purpose were OpenSSL's to check; the name is ours. */
  #assertPermitted(socket: TLSSocket): void {
    const client = this.#proven(socket)
    if (!client || !this.#lets(client)) {
      const { remoteAddress: from } = socket
      this.#refusals?.warn('client certificate refused', { subject: client?.commonName, from })
      socket.destroy()
      return
    }
    this.#connections.set(socket, new ClientConnection(socket, client))
    socket.once('close', () => this.#connections.delete(socket))
  }

  #proven(socket: TLSSocket): ProvenClient | undefined {
    const certificate = socket.getPeerX509Certificate()
    const trusted = this.#handshakes.get(peerOf(socket)) ?? this.#gate?.trusted
    if (!certificate || !trusted) return undefined
    return { chain: presentedChain(certificate), commonName: commonName(socket), trusted }
  }

  #lets(client: ProvenClient): boolean {
    const gate = this.#gate
    if (client.trusted === gate?.trusted) return gate.names(client)
    return gate?.admits(client, Date.now()) === true
  }

  /** XKS T-10, AT-H12: who would not be let in any more is not served any more. */
  #endRefused(): void {
    const ended = [...this.#connections.values()].filter(({ client }) => !this.#lets(client))
    for (const connection of ended) connection.end()
    if (ended.length === 0) return
    const subjects = new Set(ended.map(({ client }) => client.commonName))
    const facts = { connections: ended.length, subjects: [...subjects] }
    this.#logger?.warn('connections ended, as their client certificates are refused now', facts)
  }

  /** A start with one is possible, so that the rest of the daemon serves. */
  #warnOfOldLists(): void {
    try {
      this.#gate?.assertCurrent(Date.now())
    } catch (error) {
      this.#logger?.warn('every client certificate is refused until a new CRL is there', { error })
    }
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

/** Of the subject; undefined when there is none or more than one (AT-H13). */
function commonName(socket: TLSSocket): string | undefined {
  const names: unknown = socket.getPeerCertificate().subject?.CN
  return typeof names === 'string' ? names : undefined
}

/** Everything that a change of certificates must set again. Throws TlsMaterialError for what cannot serve. */
function secureContextOf(
  { cert, key }: TlsMaterial,
  gate: ClientGate | undefined,
): SecureContextOptions {
  assertPair(cert, key)
  const options: SecureContextOptions = {
    cert,
    key,
    ...gate?.context,
    ciphers: SUITES,
    honorCipherOrder: true,
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    secureOptions: SECURE_OPTIONS,
  }
  attempt('CERTIFICATE', 'cannot be used', () => createSecureContext(options))
  return options
}

function assertPair(cert: Buffer | string, key: Buffer | string): void {
  const certificate = attempt('CERTIFICATE', 'is no certificate', () => new X509Certificate(cert))
  const privateKey = attempt('KEY', 'is no private key', () => createPrivateKey(key))
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new TlsMaterialError('KEY', 'does not belong to the certificate')
  }
}
