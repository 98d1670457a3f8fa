import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'
import type { Sensitive } from '../bytes/sensitive.ts'

export interface UnsignedRequest {
  readonly method: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

export interface SigningCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: Sensitive<string>
  readonly region: string
  readonly service: string
}

/** Returns the headers to send, `host`, `x-amz-date` and `authorization` among them. `signedAt` is epoch milliseconds. */
export async function signRequest(
  { method, url, headers, body }: UnsignedRequest,
  { accessKeyId, secretAccessKey, region, service }: SigningCredentials,
  signedAt: number,
): Promise<Record<string, string>> {
  const signer = new SignatureV4({
    service,
    region,
    credentials: { accessKeyId, secretAccessKey: secretAccessKey.reveal() },
    sha256: NodeSha256,
    applyChecksum: false,
  })
  const signed = await signer.sign(
    {
      method,
      protocol: url.protocol,
      hostname: url.hostname,
      path: url.pathname,
      query: queryOf(url),
      headers: { ...headers, host: url.host },
      body,
    },
    { signingDate: new Date(signedAt) },
  )
  return signed.headers
}

function queryOf({ searchParams }: URL): Record<string, string[]> {
  const query: Record<string, string[]> = Object.create(null)
  for (const name of searchParams.keys()) query[name] = searchParams.getAll(name)
  return query
}

/** What @smithy/signature-v4 wants of a hash, on node:crypto. */
class NodeSha256 {
  readonly #hash: Hash | Hmac

  constructor(secret?: SourceData) {
    this.#hash =
      secret === undefined ? createHash('sha256') : createHmac('sha256', hashable(secret))
  }

  update(source: SourceData): void {
    this.#hash.update(hashable(source))
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }

  reset(): void {}
}

type SourceData = string | ArrayBuffer | ArrayBufferView

function hashable(source: SourceData): string | Uint8Array {
  if (typeof source === 'string') return source
  return ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source)
}
