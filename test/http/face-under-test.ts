import { once } from 'node:events'
import type { Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { text as readText } from 'node:stream/consumers'
import { KMSClient, type KMSClientConfig } from '@aws-sdk/client-kms'
import aws4 from 'aws4'
import { Sensitive } from '../../src/bytes/sensitive.ts'
import type { AuditEntry } from '../../src/http/audit-step.ts'
import { createFaceServer } from '../../src/http/face-server.ts'
import { createKmsFace, type KmsFaceHandler, type KmsFaceParts } from '../../src/http/kms-face.ts'
import type { Principal } from '../../src/kms/caller.ts'
import type { KmsRequest } from '../../src/kms/kms.ts'

export const REGION = 'eu-central-1'
export const KEY_ARN =
  'arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'

const SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'

export const PRINCIPAL: Principal = {
  accountId: '111122223333',
  arn: 'arn:aws:iam::111122223333:user/alice',
  userName: 'alice',
  userId: 'AIDAALICE',
  accessKeyId: 'AKIDALICE',
  secretAccessKey: new Sensitive(SECRET),
  identityPolicies: [],
}

/** A face on a free port, with a fake Kms behind it: the only fake, and what it does is the test's to say. */
export class FaceUnderTest {
  /** What the fake Kms does; by default it gives no members. */
  perform: (request: KmsRequest) => Promise<object | undefined> = async () => ({})
  record: (entry: AuditEntry) => Promise<void> = async () => undefined
  readonly requests: KmsRequest[] = []
  readonly records: AuditEntry[] = []
  readonly logged: Readonly<Record<string, unknown>>[] = []
  readonly observed: string[] = []
  clockOffsetMs = 0
  uptimeMs = 0
  readonly #clients: KMSClient[] = []
  readonly #server: Server
  readonly #face: KmsFaceHandler

  constructor(parts: Partial<KmsFaceParts> & { requestTimeoutMs?: number } = {}) {
    const clock = { now: () => Date.now() + this.clockOffsetMs, uptime: () => this.uptimeMs }
    const face = createKmsFace({
      kms: { perform: (request) => this.#perform(request) },
      principals: { findPrincipal: (id) => (id === PRINCIPAL.accessKeyId ? PRINCIPAL : undefined) },
      audit: { record: (entry) => this.#record(entry) },
      clock,
      logger: { error: (message, facts) => this.logged.push({ message, ...facts }) },
      metrics: {
        observe: (operation, outcome) => this.observed.push(`${operation} ${outcome}`),
      },
      ...parts,
    })
    const { requestTimeoutMs = 10_000 } = parts
    this.#face = face
    this.#server = createFaceServer(face.handle, { clock, requestTimeoutMs })
  }

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return this
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.destroy()
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  /** Resolves when no request is being worked on. */
  idle(): Promise<void> {
    return this.#face.idle()
  }

  get server(): Server {
    return this.#server
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** AWS's own client. */
  client(config: KMSClientConfig = {}): KMSClient {
    const client = new KMSClient({
      endpoint: `http://127.0.0.1:${this.port}`,
      region: REGION,
      credentials: { accessKeyId: PRINCIPAL.accessKeyId, secretAccessKey: SECRET },
      ...config,
    })
    this.#clients.push(client)
    return client
  }

  /** A request signed by aws4, with any body that an SDK would not send. */
  async call(
    target: string,
    body: string | Buffer,
    { headers = {}, secret = SECRET, accessKeyId = PRINCIPAL.accessKeyId, path = '/' } = {},
  ): Promise<Answer> {
    const signed = aws4.sign(
      {
        service: 'kms',
        region: REGION,
        method: 'POST',
        path,
        host: `127.0.0.1:${this.port}`,
        headers: {
          'X-Amz-Target': `TrentService.${target}`,
          'Content-Type': 'application/x-amz-json-1.1',
          ...headers,
        },
        body: body as string,
      },
      { accessKeyId, secretAccessKey: secret },
    )
    return this.send('POST', path, signed.headers as Record<string, string>, body)
  }

  async send(
    method: string,
    path: string,
    headers: Record<string, string>,
    body: string | Buffer = '',
  ): Promise<Answer> {
    const { 'Content-Length': _, Host: __, ...rest } = headers
    const response = await fetch(`http://127.0.0.1:${this.port}${path}`, {
      method,
      headers: rest,
      ...(method === 'GET' || method === 'HEAD' ? {} : { body: new Uint8Array(Buffer.from(body)) }),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text }
  }

  /** Bytes on a bare socket, and all that comes back until the face closes it. */
  async raw(bytes: string): Promise<Answer> {
    const socket = connect(this.port, '127.0.0.1')
    socket.write(bytes)
    const [head = '', text = ''] = (await readText(socket)).split('\r\n\r\n')
    const [statusLine = '', ...lines] = head.split('\r\n')
    const headers = new Headers(lines.map((line) => line.split(': ') as [string, string]))
    return { status: Number(statusLine.split(' ')[1]), headers, text }
  }

  async #perform(request: KmsRequest): Promise<object | undefined> {
    this.requests.push(request)
    return this.perform(request)
  }

  async #record(entry: AuditEntry): Promise<void> {
    this.records.push(entry)
    return this.record(entry)
  }
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** What every answer of the face has, whoever caused it. Gives back the parsed body. */
export function parseAnswer(answer: Answer): unknown {
  const missing = Object.entries(EVERY_ANSWER).filter(
    ([name, pattern]) => !pattern.test(answer.headers.get(name) ?? ''),
  )
  if (missing.length > 0)
    throw new Error(`answer without proper ${missing.map(([n]) => n).join(', ')}`)
  return JSON.parse(answer.text)
}

const EVERY_ANSWER = {
  'content-type': /^application\/x-amz-json-1\.1$/,
  'x-amzn-requestid': /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  // RFC 9110 §5.6.7
  date: /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/,
}
