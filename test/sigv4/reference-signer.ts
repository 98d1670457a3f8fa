import { createHash, createHmac } from 'node:crypto'
import { Sensitive } from '../../src/bytes/sensitive.ts'
import { SignatureError } from '../../src/sigv4/signature-error.ts'
import { SigningKeys } from '../../src/sigv4/signing-keys.ts'
import type { SignedRequest, VerificationContext } from '../../src/sigv4/verify-signature.ts'
import { verifySignature } from '../../src/sigv4/verify-signature.ts'

export const ACCESS_KEY_ID = 'AKIDEXAMPLE'
export const SECRET = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
export const AMZ_DATE = '20150830T123600Z'
export const NOW = Date.UTC(2015, 7, 30, 12, 36, 0)

/** Everything that a signature covers; the test may spoil any of it and still sign it consistently. */
export interface Draft {
  method: string
  rawTarget: string
  /** What goes into the canonical request for the target. */
  canonicalUri: string
  canonicalQuery: string
  headers: [name: string, value: string][]
  /** As written into SignedHeaders, order and spelling kept. */
  signedNames: string[]
  body: Buffer
  signedBody: Buffer
  /** Stands in the canonical request instead of the hash of `signedBody`. */
  statedHash?: string
  amzDate: string
  algorithm: string
  accessKeyId: string
  secret: string
  date: string
  region: string
  service: string
  terminator: string
}

export function draft(changes: Partial<Draft> = {}): Draft {
  const body = changes.body ?? Buffer.from('{"KeyId":"alias/a"}')
  return {
    method: 'POST',
    rawTarget: '/',
    canonicalUri: '/',
    canonicalQuery: '',
    headers: [
      ['Host', 'kms.eu-west-1.amazonaws.com'],
      ['Content-Type', 'application/x-amz-json-1.1'],
      ['X-Amz-Date', changes.amzDate ?? AMZ_DATE],
      ['X-Amz-Target', 'TrentService.Encrypt'],
    ],
    signedNames: ['content-type', 'host', 'x-amz-date', 'x-amz-target'],
    body,
    signedBody: body,
    amzDate: AMZ_DATE,
    algorithm: 'AWS4-HMAC-SHA256',
    accessKeyId: ACCESS_KEY_ID,
    secret: SECRET,
    date: (changes.amzDate ?? AMZ_DATE).slice(0, 8),
    region: 'eu-west-1',
    service: 'kms',
    terminator: 'aws4_request',
    ...changes,
  }
}

/** Signs a draft word for word: what it refuses to be is no reason to sign it wrongly. */
export function signDraft(d: Draft): { request: SignedRequest; secrets: string[] } {
  const lines = d.signedNames.map((name) => {
    const value = d.headers.find(([n]) => n.toLowerCase() === name.toLowerCase())?.[1] ?? ''
    return `${name}:${value.trim().replace(/ +/g, ' ')}`
  })
  const bodyHash = d.statedHash ?? createHash('sha256').update(d.signedBody).digest('hex')
  const canonical = [d.method, d.canonicalUri, d.canonicalQuery, ...lines, '']
    .concat(d.signedNames.join(';'), bodyHash)
    .join('\n')
  const scope = [d.date, d.region, d.service, d.terminator].join('/')
  const stringToSign = [
    d.algorithm,
    d.amzDate,
    scope,
    createHash('sha256').update(canonical).digest('hex'),
  ].join('\n')
  const key = [d.date, d.region, d.service, d.terminator].reduce(
    (previous: Buffer, part) => createHmac('sha256', previous).update(part).digest(),
    Buffer.from(`AWS4${d.secret}`),
  )
  const signature = createHmac('sha256', key).update(stringToSign).digest('hex')
  const authorization = `${d.algorithm} Credential=${d.accessKeyId}/${scope}, SignedHeaders=${d.signedNames.join(';')}, Signature=${signature}`
  return {
    request: {
      method: d.method,
      rawTarget: d.rawTarget,
      rawHeaders: [...d.headers.flat(), 'Authorization', authorization],
      body: d.body,
    },
    secrets: [signature, stringToSign, key.toString('hex'), key.toString('base64'), d.secret],
  }
}

export function verificationContext(
  changes: Partial<VerificationContext> = {},
): VerificationContext {
  return {
    service: 'kms',
    findSecret: (id) => (id === ACCESS_KEY_ID ? new Sensitive(SECRET) : undefined),
    now: () => NOW,
    signingKeys: new SigningKeys(),
    ...changes,
  }
}

/** The code of the refusal, or `accepted`. */
export function outcome(request: SignedRequest, context = verificationContext()): string {
  const error = refusal(request, context)
  return error === undefined ? 'accepted' : error.code
}

export function refusal(
  request: SignedRequest,
  context = verificationContext(),
): SignatureError | undefined {
  try {
    verifySignature(request, context)
    return undefined
  } catch (error) {
    if (error instanceof SignatureError) return error
    throw error
  }
}

/** The request with its headers edited by lower-cased name. */
export function withHeader(
  request: SignedRequest,
  name: string,
  edit: (value: string) => string,
): SignedRequest {
  const rawHeaders = request.rawHeaders.map((text, i) =>
    i % 2 === 1 && request.rawHeaders[i - 1]?.toLowerCase() === name ? edit(text) : text,
  )
  return { ...request, rawHeaders }
}
