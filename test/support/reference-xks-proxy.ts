import { createCipheriv, createDecipheriv, createHash, randomBytes, randomInt } from 'node:crypto'
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer, type ServerOptions as TlsOptions } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { parseReferenceJson } from './reference-json.ts'
import { type ReferenceCredential, signatureFault } from './reference-sigv4.ts'
import type { XksDefect } from './reference-xks-defects.ts'

/** A key store of the reference proxy. */
export interface ReferenceStore {
  readonly uriPathPrefix: string
  readonly credentials: readonly ReferenceCredential[]
  readonly keys: ReadonlyMap<string, ReferenceKey>
}

export interface ReferenceKey {
  readonly bytes: Buffer
  readonly enabled: boolean
  readonly usage: readonly ('ENCRYPT' | 'DECRYPT')[]
}

/** A request that the proxy was asked to serve, whatever came of it. */
export interface ServedRequest {
  readonly operation: string
  readonly target: string
  readonly status: number
  /** Which connection it came over, counted from 1. */
  readonly connection: number
}

export interface ReferenceOptions {
  readonly region?: string
  readonly tls?: TlsOptions
  readonly defects?: readonly XksDefect[]
  /** Milliseconds that an answer waits, asked for each request. */
  readonly delayMs?: (operation: string) => number
  /** Instead of serving, the connection is cut. */
  readonly drops?: (operation: string) => boolean
  /** Whether the next request is answered with 429. */
  readonly throttles?: () => boolean
  readonly healthStatus?: () => 'ACTIVE' | 'DEGRADED' | 'UNAVAILABLE'
}

type Members = Record<string, unknown>

class Refusal extends Error {
  readonly status: number
  readonly errorName: string

  constructor(status: number, errorName: string, message = 'Refused.') {
    super(message)
    this.status = status
    this.errorName = errorName
  }
}

const MAX_BODY = 256 * 1024
const MAX_PLAINTEXT = 16_384
const PATH =
  /^(?<prefix>(?:\/[A-Za-z0-9_-]+)*?)\/kms\/xks\/(?<version>v\d+)\/(?:(?<health>health)|keys\/(?<keyId>[^/?]+)\/(?<operation>metadata|encrypt|decrypt))$/
const KEY_ID = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,128}$/

/**
 * An XKS proxy in memory, written from the specification alone: nothing of src/ is in it, so that it can bear witness. It is
 * right unless a defect is switched on.
 */
export class ReferenceXksProxy {
  readonly stores: ReferenceStore[]
  readonly served: ServedRequest[] = []
  readonly #options: ReferenceOptions
  readonly #defects: ReadonlySet<XksDefect>
  readonly #server: Server
  readonly #constantIv = randomBytes(12)
  readonly #connections = new Map<Socket, number>()

  constructor(stores: readonly ReferenceStore[], options: ReferenceOptions = {}) {
    this.stores = [...stores]
    this.#options = options
    this.#defects = new Set(options.defects)
    this.#server = this.#createServer()
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): URL {
    return new URL(`${this.#options.tls ? 'https' : 'http'}://localhost:${this.port}`)
  }

  /** Connections that were ever made. */
  get connections(): number {
    return this.#connections.size
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, 'localhost', resolve))
    return this
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve)) // also when it is closed already
    this.#server.closeAllConnections()
    await closed
  }

  #has(defect: XksDefect): boolean {
    return this.#defects.has(defect)
  }

  #createServer(): Server {
    const { tls } = this.#options
    const options: ServerOptions = {
      keepAliveTimeout: this.#has('idle connections are closed at once') ? 1 : 370_000,
      requireHostHeader: false,
      keepAliveTimeoutBuffer: 0,
    }
    const listener = (request: IncomingMessage, response: ServerResponse) => {
      void this.#handle(request, response)
    }
    const server = tls
      ? createTlsServer({ ...options, ...SUITES, ...tls }, listener)
      : createServer(options, listener)
    server.on('connection', (socket: Socket) => this.#count(socket))
    server.on('secureConnection', (socket: Socket) => this.#count(socket))
    server.on('checkExpectation', (_request, response: ServerResponse) =>
      this.#refuse(response, new Refusal(417, 'ValidationException')),
    )
    if (this.#has('parser errors have no body')) return server
    const refuseSocket = (socket: Socket, status: number) => {
      const { headers, body } = this.#errorReply(new Refusal(status, 'ValidationException'))
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
      socket.end(`HTTP/1.1 ${status} Refused\r\n${lines.join('')}Connection: close\r\n\r\n${body}`)
    }
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
      if (socket.writable) refuseSocket(socket, error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400)
    })
    server.on('connect', (_request, socket: Socket) => refuseSocket(socket, 405))
    return server
  }

  #count(socket: Socket): void {
    this.#connections.set(socket, this.#connections.size + 1)
    socket.on('error', () => undefined) // a client that is gone: node listens no longer behind CONNECT
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const operation = (request.url ?? '').split('/').at(-1) ?? ''
    try {
      const members = await this.#serve(request, operation)
      if (members === undefined) request.socket.destroy()
      else this.#answer(response, 200, JSON.stringify(members))
    } catch (error) {
      this.#refuse(
        response,
        error instanceof Refusal ? error : new Refusal(500, 'InternalException'),
      )
    }
    const connection = this.#connections.get(request.socket) ?? 0
    this.served.push({
      operation,
      target: request.url ?? '',
      status: response.statusCode,
      connection,
    })
  }

  async #serve(request: IncomingMessage, operation: string): Promise<Members | undefined> {
    const path = this.#route(request)
    const body = await readBody(request)
    await this.#wait(operation)
    if (this.#options.drops?.(operation)) return undefined
    if (this.#has('the request is read before it is authenticated')) this.#parse(request, body)
    this.#authenticate(request, body, path.store)
    if (this.#options.throttles?.()) throw new Refusal(429, 'ThrottlingException')
    const members = this.#parse(request, body)
    this.#checkMetadata(members, path.operation)
    if (path.keyId === undefined) return this.#health()
    const key = this.#findKey(path.store, path.keyId, members)
    if (path.operation === 'metadata') return this.#metadata(key)
    if (!key.enabled && !this.#has('a disabled key works'))
      throw new Refusal(400, 'InvalidStateException')
    return path.operation === 'encrypt' ? this.#encrypt(key, members) : this.#decrypt(key, members)
  }

  async #wait(operation: string): Promise<void> {
    const delayMs = this.#has('answers take 300 ms') ? 300 : this.#options.delayMs?.(operation)
    if (delayMs) await new Promise((resolve) => setTimeout(resolve, delayMs))
  }

  #route(request: IncomingMessage) {
    const target = this.#target(request)
    const { prefix = '', version, keyId, operation = 'health' } = PATH.exec(target)?.groups ?? {}
    const store = this.stores.find(({ uriPathPrefix }) => uriPathPrefix === prefix)
    const fits =
      target.length <= 256 &&
      (version === 'v1' || (version !== undefined && this.#has('any version of the API'))) &&
      (keyId === undefined || KEY_ID.test(keyId) || this.#has('any key id is looked for'))
    if (!fits || store === undefined) throw new Refusal(404, 'InvalidUriPathException')
    if (request.method !== 'POST')
      throw this.#has('GET is answered with 404')
        ? new Refusal(404, 'InvalidUriPathException')
        : new Refusal(405, 'ValidationException')
    return { store, keyId, operation }
  }

  #target({ url = '' }: IncomingMessage): string {
    if (!this.#has('dots in a path are resolved')) return url
    return new URL(url, 'http://localhost').pathname.replace(/\/{2,}/g, '/')
  }

  #authenticate(request: IncomingMessage, body: Buffer, store: ReferenceStore): void {
    const stores = this.#has('credentials open every store') ? this.stores : [store]
    const fault = signatureFault(
      {
        method: request.method ?? '',
        target: this.#target(request),
        headers: headerLists(request),
        body,
      },
      {
        region: this.#options.region ?? 'eu-west-1',
        credentials: stores.flatMap(({ credentials }) => credentials),
        has: (defect) => this.#has(defect),
      },
    )
    if (fault !== undefined) throw new Refusal(401, 'AuthenticationFailedException', fault)
  }

  #parse(request: IncomingMessage, body: Buffer): Members {
    const lists = headerLists(request)
    const types = lists.get('content-type') ?? []
    const typed = types.length === 1 && /^application\/json( *;|$)/.test(types[0] ?? '')
    if (!typed || lists.has('content-encoding')) throw this.#invalid('content type')
    const members = parseReferenceJson(body, this.#has('members may come twice'))
    if (members === undefined) throw this.#invalid('JSON')
    return members
  }

  #checkMetadata(members: Members, operation: string): void {
    const required = {
      metadata: ['awsPrincipalArn'],
      encrypt: ['awsPrincipalArn', 'kmsKeyArn'],
      decrypt: ['awsPrincipalArn', 'kmsKeyArn'],
      health: [],
    }[operation] as readonly string[]
    if (operation === 'health' && this.#has('health takes no requestMetadata')) return
    if (this.#has('requestMetadata is not required')) return
    const { requestMetadata } = members
    if (typeof requestMetadata !== 'object' || requestMetadata === null) throw this.#invalid('it')
    const fields = requestMetadata as Record<string, string | undefined>
    for (const name of ['kmsOperation', 'kmsRequestId', ...required])
      if (!Object.hasOwn(fields, name) || typeof fields[name] !== 'string')
        throw this.#invalid(name)
    const { kmsOperation = '', kmsRequestId = '', awsPrincipalArn = 'arn:' } = fields
    const known =
      /^(Encrypt|Decrypt|GenerateDataKey(WithoutPlaintext)?|ReEncrypt|(Create|Describe)Key|KmsHealthCheck|\w+CustomKeyStore)$/
    const complaints =
      (this.#has('kmsOperation must be known') && !known.test(kmsOperation)) ||
      (this.#has('kmsRequestId must be a UUID') && !/^[0-9a-f-]{36}$/.test(kmsRequestId)) ||
      (this.#has('the principal must be an ARN') && !awsPrincipalArn.startsWith('arn:')) ||
      (this.#has('unknown members are refused') && 'futureMember' in members)
    if (complaints) throw this.#invalid('requestMetadata')
  }

  #findKey(store: ReferenceStore, keyId: string, members: Members): ReferenceKey {
    const key = store.keys.get(keyId)
    if (key) return key
    const { kmsOperation } = members['requestMetadata'] as Members
    if (this.#has('CreateKey makes the key') && kmsOperation === 'CreateKey')
      (store.keys as Map<string, ReferenceKey>).set(keyId, referenceKey())
    const status = this.#has('an absent key is answered with 400') ? 400 : 404
    throw new Refusal(status, 'KeyNotFoundException')
  }

  #metadata({ enabled, usage }: ReferenceKey): Members {
    const lower = this.#has('usage is in lower case')
    return {
      keySpec: 'AES_256',
      keyUsage: usage.map((it) => (lower ? it.toLowerCase() : it)),
      keyStatus: enabled ? 'ENABLED' : 'DISABLED',
    }
  }

  #health(): Members {
    const count = this.#has('eleven key managers') ? 11 : 1
    const healthStatus = this.#options.healthStatus?.() ?? 'ACTIVE'
    return {
      xksProxyFleetSize: this.#has('a fleet of none') ? 0 : 1,
      xksProxyVendor: 'Reference',
      xksProxyModel: 'Reference 1.0',
      ekmVendor: 'Memory',
      ekmFleetDetails: Array.from({ length: count }, (_, index) => ({
        id: `memory-${index + 1}`,
        model: 'Memory 1.0',
        healthStatus,
      })),
    }
  }

  #encrypt(key: ReferenceKey, members: Members): Members {
    const cdivAlgorithm = members['ciphertextDataIntegrityValueAlgorithm']
    if (cdivAlgorithm !== undefined && cdivAlgorithm !== 'SHA_256')
      throw this.#invalid('ciphertextDataIntegrityValueAlgorithm')
    const plaintext = this.#bytes(members, 'plaintext')
    if (plaintext.length === 0) throw this.#invalid('plaintext')
    const most = this.#has('only 4,096 bytes of plaintext') ? 4_096 : MAX_PLAINTEXT
    if (plaintext.length > most) throw new Refusal(501, 'UnsupportedOperationException')
    const aad = this.#aad(members)
    this.#checkAlgorithm(members)
    const withCdiv = cdivAlgorithm !== undefined
    this.#checkUsage(key, 'ENCRYPT')
    if (withCdiv && !this.#has('CDIV without decrypting')) this.#checkUsage(key, 'DECRYPT')
    const metadata = randomBytes(this.#has('metadata of 24 bytes') ? 24 : 13)
    const iv = this.#has('one IV for all') ? this.#constantIv : randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', key.bytes, iv)
    cipher.setAAD(this.#gcmInput(aad, metadata))
    const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()])
    const tag = cipher.getAuthTag()
    const sent = this.#has('the tag stays at the ciphertext')
      ? Buffer.concat([ciphertext, tag])
      : ciphertext
    const order = this.#has('CDIV in another order')
      ? [aad, metadata, ciphertext, iv, tag]
      : [aad, metadata, iv, ciphertext, tag]
    const digest = createHash('sha256').update(Buffer.concat(order)).digest('base64')
    const cdiv = withCdiv && !this.#has('CDIV is left out')
    return {
      ciphertext: sent.toString('base64'),
      ciphertextMetadata: metadata.toString('base64'),
      initializationVector: iv.toString('base64'),
      authenticationTag: tag.toString('base64'),
      ...(cdiv && { ciphertextDataIntegrityValue: digest }),
    }
  }

  #decrypt(key: ReferenceKey, members: Members): Members {
    this.#checkAlgorithm(members)
    const corrupt = new Refusal(400, 'InvalidCiphertextException')
    const ciphertext = this.#bytes(members, 'ciphertext')
    const iv = this.#bytes(members, 'initializationVector')
    let tag = this.#bytes(members, 'authenticationTag')
    const metadata =
      members['ciphertextMetadata'] === undefined
        ? Buffer.alloc(0)
        : this.#bytes(members, 'ciphertextMetadata')
    const aad = this.#aad(members)
    if (aad.length > 65_535) this.#die()
    if (metadata.length > 20) throw corrupt
    const ivFits = iv.length === 12 || iv.length === 16
    if (!ivFits && !(this.#has('the length of the IV is not checked') && iv.length > 0))
      throw corrupt
    let sealed = ciphertext
    if (this.#has('the length of the tag is not checked')) {
      const both = Buffer.concat([ciphertext, tag])
      sealed = both.subarray(0, -16)
      tag = both.subarray(-16)
    } else if (tag.length !== 16 && !this.#has('tags may be short')) throw corrupt
    this.#checkUsage(key, 'DECRYPT')
    try {
      const decipher = createDecipheriv('aes-256-gcm', key.bytes, iv, {
        authTagLength: tag.length,
      })
      decipher.setAAD(this.#gcmInput(aad, metadata)).setAuthTag(tag)
      const plaintext = Buffer.concat([decipher.update(sealed), decipher.final()])
      return { plaintext: plaintext.toString('base64') }
    } catch {
      if (this.#has('the length of the IV is not checked') && !ivFits)
        throw new Refusal(500, 'InternalException')
      throw corrupt
    }
  }

  #aad(members: Members): Buffer {
    if (members['additionalAuthenticatedData'] === undefined) return Buffer.alloc(0)
    const aad = this.#bytes(members, 'additionalAuthenticatedData')
    const most = this.#has('only 4,096 bytes of AAD') ? 4_096 : 65_535
    const takesAll = this.#has('the length of AAD wraps') || this.#has('long AAD kills')
    if (aad.length > most && !takesAll) throw new Refusal(501, 'UnsupportedOperationException')
    return aad
  }

  #die(): void {
    if (!this.#has('long AAD kills')) return
    this.#server.close()
    this.#server.closeAllConnections()
  }

  #gcmInput(aad: Buffer, metadata: Buffer): Buffer {
    if (this.#has('AAD is left out'))
      return Buffer.concat([Buffer.from([metadata.length]), metadata])
    const authenticated = this.#has('metadata is not authenticated') ? Buffer.alloc(0) : metadata
    if (this.#has('AAD without lengths')) return Buffer.concat([aad, authenticated])
    const aadLength = Buffer.from([(aad.length >> 8) & 0xff, aad.length & 0xff])
    return Buffer.concat([aadLength, aad, Buffer.from([authenticated.length]), authenticated])
  }

  #checkUsage({ usage }: ReferenceKey, wanted: 'ENCRYPT' | 'DECRYPT'): void {
    if (!usage.includes(wanted) && !this.#has('usage is not checked'))
      throw new Refusal(400, 'InvalidKeyUsageException')
  }

  #checkAlgorithm({ encryptionAlgorithm }: Members): void {
    if (typeof encryptionAlgorithm !== 'string') throw this.#invalid('encryptionAlgorithm')
    if (encryptionAlgorithm !== 'AES_GCM' && !this.#has('any algorithm'))
      throw new Refusal(501, 'UnsupportedOperationException', this.#told(encryptionAlgorithm))
  }

  #bytes(members: Members, name: string): Buffer {
    const text = members[name]
    if (typeof text !== 'string') throw this.#invalid(name)
    const bytes = Buffer.from(text, 'base64')
    if (bytes.toString('base64') !== text && !this.#has('Base64 is forgiven'))
      throw this.#invalid(this.#told(text))
    return bytes
  }

  #told(text: string): string {
    return this.#has('errors repeat what they were sent') ? `Not this: ${text}` : 'Refused.'
  }

  #invalid(what: string): Refusal {
    const status = this.#has('validation is answered with 401') ? 401 : 400
    return new Refusal(status, 'ValidationException', what)
  }

  #refuse(response: ServerResponse, refusal: Refusal): void {
    if (response.headersSent) return
    const { headers, body } = this.#errorReply(refusal)
    // A body may still be on its way, and nobody reads it.
    if (!response.req.complete) response.setHeader('Connection', 'close')
    response.writeHead(refusal.status, headers).end(body)
  }

  #errorReply({ status, errorName, message }: Refusal) {
    const named = this.#has('errors have no name') ? { error: errorName } : { errorName }
    const body = JSON.stringify({ ...named, errorMessage: message })
    const headers: Record<string, string | number> = { 'Content-Length': Buffer.byteLength(body) }
    if (!this.#has('errors have no Content-Type')) headers['Content-Type'] = 'application/json'
    if (status === 405) headers['Allow'] = 'POST'
    return { headers, body }
  }

  #answer(response: ServerResponse, status: number, body: string): void {
    const headers = {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
    }
    response.writeHead(status, headers).end(body)
  }
}

const SUITES = {
  minVersion: 'TLSv1.2',
  ciphers:
    'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384',
  ALPNProtocols: ['http/1.1'],
} satisfies TlsOptions

/** A fresh AES-256 key that does everything, unless said otherwise. */
export function referenceKey(changes: Partial<ReferenceKey> = {}): ReferenceKey {
  return { bytes: randomBytes(32), enabled: true, usage: ['ENCRYPT', 'DECRYPT'], ...changes }
}

/** Fresh, in the form that AWS KMS wants. */
export function referenceCredential(): ReferenceCredential {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  const accessKeyId = Array.from({ length: 20 }, () => alphabet[randomInt(32)]).join('')
  return { accessKeyId, secretAccessKey: randomBytes(32).toString('base64') }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY)
    throw new Refusal(413, 'ValidationException')
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function headerLists({ rawHeaders }: IncomingMessage): Map<string, string[]> {
  const lists = new Map<string, string[]>()
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? '').toLowerCase()
    lists.set(name, [...(lists.get(name) ?? []), rawHeaders[at + 1] ?? ''])
  }
  return lists
}
