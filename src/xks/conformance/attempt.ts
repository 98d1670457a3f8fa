import { createHmac, hash } from 'node:crypto'
import type { Sensitive } from '../../bytes/sensitive.ts'
import { formatAmzDate } from '../../sigv4/amz-date.ts'
import { ALGORITHM, TERMINATOR } from '../../sigv4/authorization-header.ts'
import { canonicalPath, canonicalQuery, canonicalValue } from '../../sigv4/canonical-request.ts'
import { HmacKey } from '../../sigv4/hmac-key.ts'
import { deriveSigningKey } from '../../sigv4/signing-keys.ts'

export type Header = readonly [name: string, value: string]

/** One credential of the proxy. */
export interface ConformanceCredential {
  readonly accessKeyId: string
  readonly secretAccessKey: Sensitive<string>
}

/** How a request is signed. What AWS KMS does is the default of each; a row changes what it wants to be wrong. */
export interface Signing extends ConformanceCredential {
  readonly region: string
  readonly service: string
  readonly terminator: string
  readonly algorithm: string
  /** Value of X-Amz-Date; undefined sends none. */
  readonly amzDate: string | undefined
  /** Date of the credential scope. */
  readonly scopeDate: string
  /** Values are taken from the headers; of a repeated one the first. */
  readonly signedHeaders: readonly string[]
  /** Stands for the hash of the body. */
  readonly payloadHash: string | undefined
}

/** One request before it becomes bytes. */
export interface Attempt {
  readonly method: string
  readonly target: string
  /** X-Amz-Date, Authorization and Content-Length come beside them. */
  readonly headers: readonly Header[]
  readonly body: Buffer
  /** Undefined leaves the request unsigned. */
  readonly signing: Signing | undefined
  /** Changes the headers after they were signed. */
  readonly finish?: ((headers: readonly Header[]) => readonly Header[]) | undefined
  /** Goes out in place of the body that was signed. */
  readonly bodySent?: Buffer | undefined
  /** In place of the true Content-Length; no body follows then. */
  readonly claimedLength?: number | undefined
}

/** The service name of XKS in a credential scope. */
export const XKS_SERVICE = 'kms-xks-proxy'

/** What AWS KMS signs, and how. */
export function signingOfKms(
  credential: ConformanceCredential,
  region: string,
  signedAtMs: number,
): Signing {
  const amzDate = formatAmzDate(Math.floor(signedAtMs / 1000))
  return {
    ...credential,
    region,
    service: XKS_SERVICE,
    terminator: TERMINATOR,
    algorithm: ALGORITHM,
    amzDate,
    scopeDate: amzDate.slice(0, 8),
    signedHeaders: ['host', 'x-amz-date'],
    payloadHash: undefined,
  }
}

/** The bytes of a request on the wire, and the signature that it has. */
export function bytesOf(attempt: Attempt): { bytes: Buffer; signature: string | undefined } {
  const { method, target, body, bodySent, claimedLength, finish = (it) => it } = attempt
  const { headers, signature } = signHeaders(attempt)
  const sent = claimedLength === undefined ? (bodySent ?? body) : Buffer.alloc(0)
  const length = String(claimedLength ?? sent.length)
  const lines = finish([...headers, ['Content-Length', length]]).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  )
  const head = Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1')
  return { bytes: Buffer.concat([head, sent]), signature }
}

function signHeaders(attempt: Attempt): { headers: Header[]; signature: string | undefined } {
  const { signing } = attempt
  if (signing === undefined) return { headers: [...attempt.headers], signature: undefined }
  const { amzDate, accessKeyId, scopeDate, region, service, terminator } = signing
  const headers: Header[] = [...attempt.headers]
  if (amzDate !== undefined) headers.push(['X-Amz-Date', amzDate])
  const signature = sign(attempt, headers, signing)
  const scope = `${scopeDate}/${region}/${service}/${terminator}`
  const parameters = `Credential=${accessKeyId}/${scope}, SignedHeaders=${signing.signedHeaders.join(';')}, Signature=${signature}`
  headers.push(['Authorization', `${signing.algorithm} ${parameters}`])
  return { headers, signature }
}

function sign({ method, target, body }: Attempt, headers: readonly Header[], signing: Signing) {
  const mark = target.indexOf('?')
  const [path, query] = mark < 0 ? [target, ''] : [target.slice(0, mark), target.slice(mark + 1)]
  const valueOf = (wanted: string) =>
    headers.find(([name]) => name.toLowerCase() === wanted.toLowerCase())?.[1] ?? ''
  const canonicalRequest = [
    method,
    canonicalPath(path),
    canonicalQuery(query),
    ...signing.signedHeaders.map((name) => `${name}:${canonicalValue(valueOf(name))}`),
    '',
    signing.signedHeaders.join(';'),
    signing.payloadHash ?? hash('sha256', body, 'hex'),
  ].join('\n')
  const { algorithm, amzDate = '', scopeDate, region, service, terminator } = signing
  const scope = `${scopeDate}/${region}/${service}/${terminator}`
  const requestHash = hash('sha256', Buffer.from(canonicalRequest, 'latin1'), 'hex')
  const stringToSign = [algorithm, amzDate, scope, requestHash].join('\n')
  return signingKey(signing).hex(stringToSign)
}

function signingKey({ accessKeyId, secretAccessKey, ...signing }: Signing): HmacKey {
  const { scopeDate: date, region, service, terminator } = signing
  if (terminator === TERMINATOR)
    return deriveSigningKey({ accessKeyId, date, region, service }, secretAccessKey)
  // A wrong terminator must be refused although everything else about the signature is right.
  const key = [date, region, service, terminator].reduce(
    (before, part) => createHmac('sha256', before).update(part).digest(),
    Buffer.from(`AWS4${secretAccessKey.reveal()}`),
  )
  return new HmacKey(key)
}
