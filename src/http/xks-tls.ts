import { constants, createPrivateKey, X509Certificate } from 'node:crypto'
import type { Server, ServerOptions } from 'node:https'
import { createSecureContext, type SecureContextOptions, type TLSSocket } from 'node:tls'
import { SparseLog, type WarningLogger } from './sparse-log.ts'

/** What a TLS face is made of, as PEM. RSA and EC keys, PKCS #8 and SEC 1. */
export interface TlsMaterial {
  /** The server's certificate, behind it what leads to its CA. */
  readonly cert: Buffer | string
  readonly key: Buffer | string
  /** Present: only clients with such a certificate may connect (XKS T-08). */
  readonly clients?: ClientRule
}

/** XKS T-09: which client certificates are taken. */
export interface ClientRule {
  /** Certificates of the CAs, one or more. */
  readonly ca: Buffer | string
  /** The subject must have one common name, and it must be one of these. */
  readonly subjectNames: readonly string[]
}

export type TlsMaterialCode = 'CERTIFICATE' | 'KEY' | 'CLIENT_CA' | 'SUBJECT_NAMES' | 'CLIENT_RULE'

/** A part that cannot be used; the code names it. */
export class TlsMaterialError extends Error {
  readonly code: TlsMaterialCode

  constructor(code: TlsMaterialCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'TlsMaterialError'
    this.code = code
  }
}

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

const CERTIFICATES = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

export interface XksTlsOptions {
  readonly logger?: WarningLogger
  readonly handshakeTimeoutMs?: number
}

/** TLS of the XKS face; its certificates can be changed while it serves. */
export class XksTls {
  #material: TlsMaterial
  readonly #asks: boolean
  readonly #handshakeTimeoutMs: number
  readonly #refusals: SparseLog | undefined
  readonly #servers: Server[] = []
  #subjectNames: ReadonlySet<string>

  /** Throws TlsMaterialError. */
  constructor(material: TlsMaterial, { logger, handshakeTimeoutMs = 5_000 }: XksTlsOptions = {}) {
    secureContextOf(material)
    this.#material = material
    this.#asks = material.clients !== undefined
    this.#subjectNames = new Set(material.clients?.subjectNames)
    this.#handshakeTimeoutMs = handshakeTimeoutMs
    this.#refusals = logger && new SparseLog(logger, () => performance.now())
  }

  /** For the making of a server. */
  get options(): ServerOptions {
    return {
      ...secureContextOf(this.#material),
      ALPNProtocols: ['http/1.1'], // XKS T-02
      handshakeTimeout: this.#handshakeTimeoutMs, // AT-H14
      requestCert: this.#asks,
      rejectUnauthorized: this.#asks,
    }
  }

  /** Looks at every client of the server, and changes its certificates from now on. */
  guard(server: Server): void {
    this.#servers.push(server)
    if (!this.#asks) return
    // In front of the listener that begins to read HTTP.
    server.prependListener('secureConnection', (socket) => this.#assertPermitted(socket))
  }

  /**
   * New connections are made with the new material; those there are live on. Throws TlsMaterialError, and then everything stays
   * as it was.
   */
  reload(material: TlsMaterial): void {
    if ((material.clients !== undefined) !== this.#asks) {
      throw new TlsMaterialError(
        'CLIENT_RULE',
        'whether clients need a certificate changes with a restart only',
      )
    }
    const context = secureContextOf(material)
    this.#material = material
    this.#subjectNames = new Set(material.clients?.subjectNames)
    for (const server of this.#servers) server.setSecureContext(context)
  }

  /** XKS T-10: the chain and the purpose were OpenSSL's to check; the name is ours. */
  #assertPermitted(socket: TLSSocket): void {
    const name = commonName(socket)
    if (name !== undefined && this.#subjectNames.has(name)) return
    this.#refusals?.warn('client certificate refused', {
      subject: name,
      from: socket.remoteAddress,
    })
    socket.destroy()
  }
}

/** Of the subject; undefined when there is none or more than one (AT-H13). */
function commonName(socket: TLSSocket): string | undefined {
  const names: unknown = socket.getPeerCertificate().subject?.CN
  return typeof names === 'string' ? names : undefined
}

/** Everything that a change of certificates must set again. Throws TlsMaterialError for what cannot serve. */
function secureContextOf({ cert, key, clients }: TlsMaterial): SecureContextOptions {
  assertPair(cert, key)
  const options: SecureContextOptions = {
    cert,
    key,
    ...(clients && { ca: certificateAuthorities(clients) }),
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

/** One by one, so that OpenSSL takes what was checked: of a file without line ends in between it would read the first only. */
function certificateAuthorities({ ca, subjectNames }: ClientRule): string[] {
  if (subjectNames.length === 0 || subjectNames.includes('')) {
    throw new TlsMaterialError('SUBJECT_NAMES', 'names nobody')
  }
  const certificates = ca.toString().match(CERTIFICATES) ?? []
  if (certificates.length === 0) throw new TlsMaterialError('CLIENT_CA', 'holds no certificate')
  for (const pem of certificates)
    attempt('CLIENT_CA', 'holds what is no certificate', () => new X509Certificate(pem))
  return certificates
}

/** What OpenSSL says of a file may quote it; the cause is for the log. */
function attempt<T>(code: TlsMaterialCode, message: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    throw new TlsMaterialError(code, message, { cause })
  }
}
