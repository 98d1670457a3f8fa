import { createHash, createHmac } from 'node:crypto'
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { ConnectionOptions } from 'node:tls'
import type { ProxyFailure } from './fake-kms-exception.ts'
import type { ReferenceCredential } from './reference-sigv4.ts'

export interface XksReply {
  readonly status: number
  readonly contentType: string | undefined
  readonly text: string
}

/** One host of the fleet from which AWS KMS calls proxies: it has connections and, for a while, a credential of its own. */
export class FakeKmsHost {
  credential: ReferenceCredential
  readonly #endpoint: URL
  readonly #region: string
  readonly #agent: HttpAgent | HttpsAgent

  constructor(
    endpoint: URL,
    region: string,
    credential: ReferenceCredential,
    tls: ConnectionOptions,
    maxSockets: number,
  ) {
    this.#endpoint = endpoint
    this.#region = region
    this.credential = credential
    const options = { keepAlive: true, maxSockets }
    this.#agent =
      endpoint.protocol === 'https:'
        ? new HttpsAgent({ ...options, ...tls })
        : new HttpAgent(options)
  }

  /** Posts JSON, signed as AWS KMS signs. Rejects with TransportFailure. */
  post(path: string, body: string, timeoutMs: number): Promise<XksReply> {
    const send = this.#endpoint.protocol === 'https:' ? httpsRequest : httpRequest
    return new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(timeoutMs) // wall clock: connection and handshake are in it
      const fail = (error: Error) =>
        reject(new TransportFailure(signal.aborted ? 'timeout' : 'unreachable', error))
      const request = send(new URL(path, this.#endpoint), {
        method: 'POST',
        agent: this.#agent,
        signal,
        headers: this.#headers(path, body),
      })
      request.on('error', fail)
      request.on('response', (response) => {
        readText(response).then(
          (text) =>
            resolve({
              status: response.statusCode ?? 0,
              contentType: response.headers['content-type'],
              text,
            }),
          fail,
        )
      })
      request.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }

  #headers(path: string, body: string): Record<string, string | number> {
    const { accessKeyId, secretAccessKey } = this.credential
    const amzDate = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '')
    const parts = [amzDate.slice(0, 8), this.#region, 'kms-xks-proxy', 'aws4_request']
    const signedHeaders = 'host;x-amz-date'
    const { host } = this.#endpoint
    const canonical = `POST\n${path}\n\nhost:${host}\nx-amz-date:${amzDate}\n\n${signedHeaders}\n${sha256(body)}`
    const stringToSign = `AWS4-HMAC-SHA256\n${amzDate}\n${parts.join('/')}\n${sha256(canonical)}`
    const key = parts.reduce<Buffer | string>(hmac, `AWS4${secretAccessKey}`)
    const signature = hmac(key, stringToSign).toString('hex')
    return {
      Host: host,
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
      'X-Amz-Date': amzDate,
      Authorization: `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${parts.join('/')}, SignedHeaders=${signedHeaders}, Signature=${signature}`,
    }
  }
}

/** The proxy said nothing, or not in time. */
export class TransportFailure extends Error {
  readonly failure: ProxyFailure

  constructor(failure: ProxyFailure, cause: Error) {
    super(`${failure}: ${cause.message}`, { cause })
    this.failure = failure
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
