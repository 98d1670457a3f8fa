import { once } from 'node:events'
import type { Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { text as readText } from 'node:stream/consumers'
import { Sensitive } from '../../src/bytes/sensitive.ts'
import { createXksFace, type XksFaceHandler, type XksFaceParts } from '../../src/http/xks-face.ts'
import { createXksServer, type XksServerParts } from '../../src/http/xks-server.ts'
import type {
  ExternalKeyStore,
  XksCredential,
  XksDirectory,
} from '../../src/xks/external-key-store.ts'
import type { XksRequest, XksTrail } from '../../src/xks/proxy.ts'
import type { XksEntry } from '../../src/xks/xks-journal.ts'
import { AMZ_DATE, type Draft, draft, NOW, signDraft } from '../sigv4/reference-signer.ts'
import type { Answer } from './face-under-test.ts'

export const REGION = 'eu-west-1'
/** The stores of a `MemoryXksDirectory`: two prefixes of which one begins the other, and the empty one. */
export const STORES = { a: '/a', ab: '/a/b', none: '' } as const
export type StoreName = keyof typeof STORES

/** A configuration in memory, with the same promises as the stored one: every change makes new objects. */
export class MemoryXksDirectory implements XksDirectory {
  readonly #stores = new Map<string, ExternalKeyStore>()
  readonly #credentials = new Map<string, XksCredential>()

  constructor() {
    for (const name of Object.keys(STORES) as StoreName[]) {
      this.changeStore(name, {})
      this.addCredential(name, accessKeyIdOf(name), secretOf(name))
    }
  }

  changeStore(name: StoreName, changes: Partial<ExternalKeyStore>): void {
    const uriPathPrefix = STORES[name]
    this.#stores.set(uriPathPrefix, {
      name,
      uriPathPrefix,
      regions: [REGION],
      enabled: true,
      requestsPerSecond: undefined,
      policy: undefined,
      findKey: () => undefined,
      ...changes,
    })
  }

  addCredential(storeName: StoreName, accessKeyId: string, secret: string): void {
    const secretAccessKey = new Sensitive(secret)
    this.#credentials.set(accessKeyId, { accessKeyId, secretAccessKey, storeName })
  }

  removeCredential(accessKeyId: string): void {
    this.#credentials.delete(accessKeyId)
  }

  findStore(uriPathPrefix: string): ExternalKeyStore | undefined {
    return this.#stores.get(uriPathPrefix)
  }

  findCredential(accessKeyId: string): XksCredential | undefined {
    return this.#credentials.get(accessKeyId)
  }
}

export function accessKeyIdOf(name: StoreName): string {
  return `AKIDXKSSTORE${name.toUpperCase().padEnd(10, 'X')}`
}

export function secretOf(name: StoreName): string {
  return `${name}/secret+of+the+store+`.padEnd(52, '0')
}

export type XksCallName = 'metadata' | 'encrypt' | 'decrypt' | 'health'
export const CALLS: readonly XksCallName[] = ['metadata', 'encrypt', 'decrypt', 'health']

export function targetOf(call: XksCallName, store: StoreName = 'a', key = 'key-1'): string {
  const base = `${STORES[store]}/kms/xks/v1`
  return call === 'health' ? `${base}/health` : `${base}/keys/${key}/${call}`
}

/** A face on a free port with a fake proxy behind it, at a time that stands still unless it is moved. */
export class XksFaceUnderTest {
  readonly directory = new MemoryXksDirectory()
  /** What the fake proxy does. */
  perform: (request: XksRequest, trail: XksTrail) => Promise<string> = async () => '{}'
  record: (entry: XksEntry) => Promise<void> = async () => undefined
  readonly requests: XksRequest[] = []
  readonly records: XksEntry[] = []
  readonly logged: Readonly<Record<string, unknown>>[] = []
  readonly observed: string[] = []
  /** The store of each request that was repeated. */
  readonly replays: string[] = []
  /** What a client could use to sign, of all requests signed by `sign`. */
  readonly secrets: string[] = []
  nowMs = NOW
  uptimeMs = 0
  readonly server: Server
  readonly #face: XksFaceHandler

  constructor(parts: Partial<XksFaceParts> = {}, serverParts: Partial<XksServerParts> = {}) {
    const clock = { now: () => this.nowMs, uptime: () => this.uptimeMs }
    const log = (message: string, facts: object) => this.logged.push({ message, ...facts })
    this.#face = createXksFace({
      proxy: { perform: (request, trail) => this.#perform(request, trail) },
      directory: this.directory,
      journal: { record: (entry) => this.#record(entry) },
      clock,
      logger: { error: log, warn: log },
      metrics: {
        observe: (operation, outcome) => this.observed.push(`${operation} ${outcome}`),
        observeReplay: (store) => this.replays.push(store),
      },
      ...parts,
    })
    this.server = createXksServer(this.#face.handle, { clock, ...serverParts })
  }

  async start(): Promise<this> {
    this.server.listen(0, '127.0.0.1')
    await once(this.server, 'listening')
    return this
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    this.server.close()
    await once(this.server, 'close')
  }

  /** What it logged of requests that failed through its own fault. */
  get failures() {
    return this.logged.filter(({ message }) => message === 'request failed')
  }

  idle(): Promise<void> {
    return this.#face.idle()
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  /** The bytes of a signed request; `changes` spoil it before it is signed, `spoil` afterwards. */
  sign(rawTarget: string, changes: Partial<Draft> = {}, spoil: (text: string) => string = same) {
    const store = storeOf(rawTarget)
    const body = changes.body ?? Buffer.from('{}')
    const amzDate = changes.amzDate ?? AMZ_DATE
    const { request, secrets } = signDraft(
      draft({
        rawTarget,
        canonicalUri: rawTarget,
        headers: [
          ['Host', 'xks.example.com'],
          ['Content-Type', 'application/json'],
          ['X-Amz-Date', amzDate],
        ],
        signedNames: ['content-type', 'host', 'x-amz-date'],
        accessKeyId: accessKeyIdOf(store),
        secret: secretOf(store),
        region: REGION,
        service: 'kms-xks-proxy',
        ...changes,
        body,
        signedBody: changes.signedBody ?? body,
      }),
    )
    this.secrets.push(...secrets)
    const { method, rawHeaders } = request
    const lines = rawHeaders.flatMap((name, i) => (i % 2 ? [] : [`${name}: ${rawHeaders[i + 1]}`]))
    const length = `Content-Length: ${body.length}`
    const head = [`${method} ${rawTarget} HTTP/1.1`, ...lines, length, '', ''].join('\r\n')
    return Buffer.concat([Buffer.from(spoil(head), 'latin1'), body])
  }

  /** Signs and sends on a connection of its own. */
  call(rawTarget: string, changes?: Partial<Draft>, spoil?: (text: string) => string) {
    return this.raw(this.sign(rawTarget, changes, spoil))
  }

  /** Bytes on a bare socket, and the first answer to them. */
  async raw(bytes: string | Buffer): Promise<Answer> {
    const socket = connect(this.port, '127.0.0.1')
    try {
      socket.write(bytes)
      return await readAnswer(socket)
    } finally {
      socket.destroy()
    }
  }

  /** Bytes on a bare socket, and all that comes back until the face closes it. */
  async rawToEnd(bytes: string | Buffer): Promise<Answer> {
    const socket = connect(this.port, '127.0.0.1')
    socket.write(bytes)
    return parseHttp(await readText(socket))
  }

  async #perform(request: XksRequest, trail: XksTrail): Promise<string> {
    this.requests.push({ ...request, body: Buffer.from(request.body) })
    return this.perform(request, trail)
  }

  async #record(entry: XksEntry): Promise<void> {
    this.records.push(entry)
    return this.record(entry)
  }
}

/** One answer from a connection that stays open. */
export async function readAnswer(socket: Socket): Promise<Answer> {
  let text = ''
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += (chunk as Buffer).toString('latin1')
    if (isWhole(text)) break
  }
  return parseHttp(text)
}

export function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  const length = Number(/^content-length: (\d+)/im.exec(text)?.[1] ?? 0)
  return end >= 0 && text.length >= end + 4 + length
}

function parseHttp(received: string): Answer {
  const [head = '', text = ''] = received.split('\r\n\r\n')
  const [statusLine = '', ...lines] = head.split('\r\n')
  const headers = new Headers(lines.map((line) => line.split(': ') as [string, string]))
  return { status: Number(statusLine.split(' ')[1]), headers, text }
}

/** XKS: what every error has, whoever caused it. Gives back its name. */
export function errorNameOf(answer: Answer): string {
  assertHead(answer)
  const { errorName, errorMessage, ...rest } = JSON.parse(answer.text) as Record<string, string>
  if (!/^[A-Z][A-Za-z]+Exception$/.test(errorName ?? '')) throw new Error(`no name: ${answer.text}`)
  if (errorMessage !== undefined && !/^[ -~]{0,511}$/.test(errorMessage)) {
    throw new Error(`message of another form: ${errorMessage}`)
  }
  if (Object.keys(rest).length > 0) throw new Error(`more than an error: ${answer.text}`)
  return errorName as string
}

/** What every answer of the face has. */
export function assertHead({ headers }: Answer): void {
  if (headers.get('content-type') !== 'application/json') throw new Error('not application/json')
  const requestId = headers.get('x-hsm-bridge-request-id') ?? ''
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(requestId)) throw new Error('no id')
}

function storeOf(rawTarget: string): StoreName {
  if (rawTarget.startsWith('/a/b/')) return 'ab'
  return rawTarget.startsWith('/a/') ? 'a' : 'none'
}

function same(text: string): string {
  return text
}
