import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import aws4 from 'aws4'
import { Sensitive } from '../../src/bytes/sensitive.ts'
import { formatAmzDate } from '../../src/sigv4/amz-date.ts'
import { signRequest } from '../../src/sigv4/sign-request.ts'
import type { SignedRequest } from '../../src/sigv4/verify-signature.ts'

export const CURL = '/usr/bin/curl'
const PYTHON = '/usr/bin/python3'
/** Debian's. */
export const BOTOCORE = '/usr/lib/python3/dist-packages/botocore/__init__.py'

/** A request of the XKS Proxy API that nobody has signed yet. */
export interface PlainXksRequest {
  readonly origin: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly region: string
  /** Epoch milliseconds; for signers that take a clock. */
  readonly now: number
}

export type XksSigner = (request: PlainXksRequest) => Promise<SignedRequest>

const SERVICE = 'kms-xks-proxy'

export async function signWithSmithy(plain: PlainXksRequest): Promise<SignedRequest> {
  const { origin, path, headers, body, accessKeyId, secretAccessKey, region, now } = plain
  const signed = await signRequest(
    { method: 'POST', url: new URL(`${origin}${path}`), headers, body },
    { accessKeyId, secretAccessKey: new Sensitive(secretAccessKey), region, service: SERVICE },
    now,
  )
  return { method: 'POST', rawTarget: path, rawHeaders: Object.entries(signed).flat(), body }
}

export async function signWithAws4(plain: PlainXksRequest): Promise<SignedRequest> {
  const { origin, path, body, accessKeyId, secretAccessKey, region, now } = plain
  const stated = { Host: new URL(origin).host, 'X-Amz-Date': formatAmzDate(Math.floor(now / 1000)) }
  const options = {
    method: 'POST',
    path,
    service: SERVICE,
    region,
    headers: { ...plain.headers, ...stated },
    body: body as unknown as string, // its types say string; the code hashes either
  }
  const { headers } = aws4.sign(options, { accessKeyId, secretAccessKey })
  const rawHeaders = Object.entries(headers ?? {}).flatMap(([name, value]) => [name, String(value)])
  return { method: 'POST', rawTarget: path, rawHeaders, body }
}

/** Debian's botocore in one process, which signs by the clock of the machine. */
export class BotocoreSigner {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor() {
    const script = join(import.meta.dirname, 'botocore_signer.py')
    this.#child = spawn(PYTHON, [script], { stdio: ['pipe', 'pipe', 'inherit'] })
    const { stdout } = this.#child
    if (!stdout) throw new TypeError('no pipe')
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]()
  }

  /** One at a time. */
  async sign(plain: PlainXksRequest): Promise<SignedRequest> {
    const { origin, path, headers, body, accessKeyId, secretAccessKey, region } = plain
    const line = { url: `${origin}${path}`, headers, accessKeyId, secretAccessKey, region }
    this.#child.stdin?.write(`${JSON.stringify({ ...line, body: body.toString('base64') })}\n`)
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error('botocore has ended')
    const signed = JSON.parse(value) as string[]
    const host = ['Host', new URL(origin).host] // its transport adds this one
    return { method: 'POST', rawTarget: path, rawHeaders: [...host, ...signed], body }
  }

  async stop(): Promise<void> {
    this.#child.stdin?.end()
    if (this.#child.exitCode === null) await once(this.#child, 'exit')
  }
}

/** curl sends by itself: a relay in between keeps what it wrote, and the answer is told with it. */
export class CurlSender {
  readonly #directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-curl-'))
  readonly #relay: Server
  #written: Buffer[] = []

  constructor(port: number) {
    this.#relay = createServer((socket) => {
      const face = connect(port, '127.0.0.1')
      socket.on('data', (chunk) => this.#written.push(chunk))
      socket.on('error', () => face.destroy())
      face.on('error', () => socket.destroy())
      socket.pipe(face).pipe(socket)
    })
  }

  async start(): Promise<this> {
    this.#relay.listen(0, '127.0.0.1')
    await once(this.#relay, 'listening')
    return this
  }

  async send(plain: PlainXksRequest): Promise<{ status: number; written: SignedRequest }> {
    const { path, headers, body, accessKeyId, secretAccessKey, region } = plain
    const { port } = this.#relay.address() as AddressInfo
    const file = join(this.#directory, 'body')
    // curl signs a blank header and does not send it: measured with 7.88.
    const visible = Object.entries(headers).filter(([, value]) => value.trim() !== '')
    writeFileSync(file, body)
    this.#written = []
    const { stdout } = await promisify(execFile)(CURL, [
      ...['--silent', '--show-error', '--output', join(this.#directory, 'answer')],
      ...['--aws-sigv4', `aws:amz:${region}:${SERVICE}`],
      ...['--user', `${accessKeyId}:${secretAccessKey}`],
      ...['-X', 'POST', '--data-binary', `@${file}`, '--write-out', '%{response_code}'],
      ...visible.flatMap((header) => ['-H', header.join(': ')]),
      `http://127.0.0.1:${port}${path}`,
    ])
    return { status: Number(stdout), written: parseRequest(Buffer.concat(this.#written)) }
  }

  async stop(): Promise<void> {
    this.#relay.close()
    await once(this.#relay, 'close')
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

function parseRequest(bytes: Buffer): SignedRequest {
  const end = bytes.indexOf('\r\n\r\n')
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const [method = '', rawTarget = ''] = first.split(' ')
  const rawHeaders = lines.flatMap((line) => line.split(/: ?(.*)/s, 2))
  return { method, rawTarget, rawHeaders, body: bytes.subarray(end + 4) }
}
