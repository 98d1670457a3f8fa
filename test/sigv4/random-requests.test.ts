import { createHash, createHmac } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'
import aws4 from 'aws4'
import { expect } from 'chai'
import type { SignedRequest } from '../../src/sigv4/verify-signature.ts'
import { ACCESS_KEY_ID, NOW, outcome, SECRET, verificationContext } from './reference-signer.ts'
import {
  mutateBody,
  mutateHeader,
  type Random,
  repeatHeader,
  seededRandom,
} from './request-mutations.ts'

const REQUESTS = Number(process.env['SIGV4_REQUESTS'] ?? 5000)
const SEED = Number(process.env['SIGV4_SEED'] ?? 20261122)

describe(`${REQUESTS} random requests, seed ${SEED}`, () => {
  const signers = { smithy: signWithSmithy, aws4: signWithAws4 }
  for (const [name, sign] of Object.entries(signers))
    it(`AT-S31 accepts all that ${name} signs and no single mutation of them`, async function () {
      this.timeout(60_000)
      const random = seededRandom(SEED)
      const context = verificationContext()
      const [accepted, refused] = [[] as string[], [] as string[]]
      for (let i = 0; i < REQUESTS / 2; i++) {
        const request = await sign(randomRequest(random))
        if (outcome(request, context) !== 'accepted') refused.push(shown(request))
        const mutant = mutate(request, random)
        if (outcome(mutant, context) === 'accepted') accepted.push(shown(mutant))
      }
      expect(refused.join('\n'), 'false rejects').to.equal('')
      expect(accepted.join('\n'), 'false accepts').to.equal('')
    })
})

interface PlainRequest {
  readonly method: string
  readonly path: string
  readonly query: Record<string, string[]>
  readonly headers: Record<string, string>
  readonly body: Buffer
}

const TEXT = 'abcXYZ019-._~!*\'();:@&=+$,/?#[]% "<>\\^`{|}éሴ'
const TOKEN = 'abcdefghijklmnopqrstuvwxyz0123456789'

function text(random: Random, alphabet: string, from: number, to: number): string {
  const length = from + random(to - from + 1)
  return Array.from({ length }, () => alphabet[random(alphabet.length)]).join('')
}

function randomRequest(random: Random): PlainRequest {
  const headers: Record<string, string> = {
    Host: `${text(random, TOKEN, 1, 20)}.example.com`,
    'Content-Type': 'application/x-amz-json-1.1',
    'X-Amz-Target': `TrentService.${text(random, TOKEN, 3, 12)}`,
  }
  for (let i = random(5); i > 0; i--)
    headers[`X-${text(random, TOKEN, 1, 8)}-${i}`] = text(random, 'abc  \t019-._"=', 0, 20)
  const query: Record<string, string[]> = {}
  for (let i = random(4); i > 0; i--)
    query[`${text(random, TEXT, 1, 6)}${i}`] = Array.from({ length: 1 + random(2) }, () =>
      text(random, TEXT, 0, 10),
    )
  const segments = Array.from({ length: random(4) }, () => segment(random))
  return {
    method: ['POST', 'GET', 'PUT', 'DELETE'][random(4)] as string,
    path: `/${segments.join('/')}`,
    query,
    headers,
    body: Buffer.from(text(random, TEXT, 0, 200)),
  }
}

function segment(random: Random): string {
  const kind = random(10)
  if (kind === 0) return '..'
  return encodeURIComponent(text(random, TEXT, 1, 12)).replace(/^\.+$/, 'dots')
}

async function signWithSmithy(request: PlainRequest): Promise<SignedRequest> {
  const signer = new SignatureV4({
    service: 'kms',
    region: 'eu-west-1',
    credentials: { accessKeyId: ACCESS_KEY_ID, secretAccessKey: SECRET },
    sha256: Sha256,
  })
  const signed = await signer.sign(
    { protocol: 'https:', hostname: 'h', ...request },
    { signingDate: new Date(NOW) },
  )
  return onTheWire(request, signed.headers)
}

async function signWithAws4(request: PlainRequest): Promise<SignedRequest> {
  const options = {
    method: request.method,
    path: targetOf(request),
    headers: {
      ...request.headers,
      'Content-Length': String(request.body.length),
      'X-Amz-Date': new Date(NOW).toISOString().replace(/[-:]|\.000/g, ''),
    },
    body: request.body as unknown as string, // its types say string; the code hashes either
    service: 'kms',
    region: 'eu-west-1',
  }
  const signed = aws4.sign(options, { accessKeyId: ACCESS_KEY_ID, secretAccessKey: SECRET })
  return onTheWire(request, signed.headers as Record<string, string>)
}

class Sha256 {
  readonly #hash
  constructor(secret?: Uint8Array | string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret ? createHmac('sha256', secret as Uint8Array) : createHash('sha256')
  }
  update(bytes: Uint8Array | string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(bytes as Uint8Array)
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }
  reset(): void {}
}

function targetOf({ path, query }: PlainRequest): string {
  const pairs = Object.entries(query).flatMap(([name, values]) =>
    values.map((value) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`),
  )
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`
}

function onTheWire(request: PlainRequest, headers: Record<string, string>): SignedRequest {
  return {
    method: request.method,
    rawTarget: targetOf(request),
    rawHeaders: [...Object.entries(headers).flat(), 'User-Agent', 'test', 'Connection', 'close'],
    body: request.body,
  }
}

/** Changes one thing that the signature covers, never into something that means the same. */
function mutate(request: SignedRequest, random: Random): SignedRequest {
  const kinds = [mutateBody, mutateMethod, mutateTarget, mutateHeader, mutateHeader, repeatHeader]
  const kind = kinds[random(kinds.length)] as (typeof kinds)[number]
  return kind(request, random)
}

function mutateMethod(request: SignedRequest): SignedRequest {
  return { ...request, method: request.method === 'PUT' ? 'POST' : 'PUT' }
}

function mutateTarget(request: SignedRequest, random: Random): SignedRequest {
  const [path, query] = request.rawTarget.split('?') as [string, string | undefined]
  const suffix = query === undefined ? '' : `?${query}`
  const edits = [
    `${path}${suffix === '' ? '?' : `${suffix}&`}z=`,
    `${path}/z${suffix}`,
    `${path}%41${suffix}`,
  ]
  return { ...request, rawTarget: edits[random(edits.length)] as string }
}

function shown({ method, rawTarget, rawHeaders, body }: SignedRequest): string {
  return JSON.stringify({ method, rawTarget, rawHeaders, body: Buffer.from(body).toString() })
}
