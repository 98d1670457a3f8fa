import { hash } from 'node:crypto'
import { equalBytes } from '../bytes/equal.ts'
import type { Sensitive } from '../bytes/sensitive.ts'
import { formatAmzDate, parseAmzDate } from './amz-date.ts'
import {
  ALGORITHM,
  type Authorization,
  parseAuthorization,
  TERMINATOR,
} from './authorization-header.ts'
import { canonicalPath, canonicalQuery, canonicalValue, queryPairs } from './canonical-request.ts'
import { type RequestHeaders, readHeaders } from './request-headers.ts'
import { SignatureError } from './signature-error.ts'
import { deriveSigningKey, type SigningKeys } from './signing-keys.ts'

/** A request as it came over the wire, nothing joined, decoded or dropped. */
export interface SignedRequest {
  readonly method: string
  /** The request-target verbatim: `req.url`. */
  readonly rawTarget: string
  /** node's flat list of names and values: `req.rawHeaders`. */
  readonly rawHeaders: readonly string[]
  readonly body: Uint8Array
}

/** What a face knows about signatures: made once, used for every request. */
export interface VerificationContext {
  /** Last-but-one element of the scope: `kms`, `kms-xks-proxy`. */
  readonly service: string
  findSecret(accessKeyId: string): Sensitive<string> | undefined
  /** Epoch milliseconds. */
  now(): number
  /** Which regions are served; every well-formed one when absent. */
  regions?(region: string): boolean
  readonly signingKeys: SigningKeys
}

/** What a verified signature proves. */
export interface VerifiedSignature {
  readonly accessKeyId: string
  /** Region of the credential scope. */
  readonly region: string
  /** Epoch milliseconds, whole seconds. */
  readonly signedAt: number
  /** 64 lower-case hex digits. For comparing, never for a log. */
  readonly signature: string
}

/** How far off our clock a request may be signed (AT-S07). */
export const MAX_SKEW_SECONDS = 300
const MAX_SKEW_TEXT = '5 min.'
const REGION = /^[a-z0-9-]{1,64}$/
const MUST_BE_SIGNED = [
  ['host', "'Host' or ':authority'"],
  ['x-amz-date', "'X-Amz-Date'"],
] as const
const PRESIGNED =
  /^x-amz-(algorithm|credential|date|expires|security-token|signature|signedheaders)$/i

/**
 * Verifies the header form of AWS Signature Version 4 over the bytes received, in constant time.
 * Throws SignatureError and tells nothing that would help to sign.
 */
export function verifySignature(
  request: SignedRequest,
  context: VerificationContext,
): VerifiedSignature {
  const headers = readHeaders(request.rawHeaders)
  const target = splitTarget(request.rawTarget)
  const authorization = readAuthorization(headers)
  const amzDate = headers.values.get('x-amz-date') as string
  const signedAt = readSigningTime(amzDate)
  assertScope(authorization, amzDate, context)
  const signedNames = signedHeaderNames(authorization, headers)
  assertCurrent(amzDate, signedAt, Math.floor(context.now() / 1000))
  const bodyHash = hash('sha256', request.body, 'hex')
  assertStatedHash(headers, bodyHash)

  let signedHeaders = ''
  for (const name of signedNames)
    signedHeaders += `${name}:${canonicalValue(headers.values.get(name) as string)}\n`
  const resource = `${canonicalPath(target.path)}\n${canonicalQuery(target.query)}`
  const canonicalRequest = `${request.method}\n${resource}\n${signedHeaders}\n${authorization.signedHeaders}\n${bodyHash}`
  const requestHash = hash('sha256', Buffer.from(canonicalRequest, 'latin1'), 'hex')
  const stringToSign = `${ALGORITHM}\n${amzDate}\n${authorization.scope}\n${requestHash}`
  assertSigned(authorization, stringToSign, context)
  return {
    accessKeyId: authorization.accessKeyId,
    region: authorization.region,
    signedAt: signedAt * 1000,
    signature: authorization.signature,
  }
}

function splitTarget(rawTarget: string): { path: string; query: string } {
  // AT-S18: neither `*` nor an absolute URI is something that an AWS client signs.
  if (!rawTarget.startsWith('/')) throw mismatch()
  const mark = rawTarget.indexOf('?')
  if (mark < 0) return { path: rawTarget, query: '' }
  const query = rawTarget.slice(mark + 1)
  // AT-S17: presigned URLs are no way in, neither instead of the header nor beside it.
  if (queryPairs(query).some(([name]) => PRESIGNED.test(name))) throw missingToken()
  return { path: rawTarget.slice(0, mark), query }
}

function readAuthorization({ values, repeated }: RequestHeaders): Authorization {
  const header = values.get('authorization')
  if (!header) throw missingToken()
  for (const name of ['authorization', 'x-amz-date']) // AT-S20: node would keep one or join them
    if (repeated.has(name))
      throw new SignatureError('INCOMPLETE', `The '${name}' header occurs more than once.`)
  return parseAuthorization(header, values.get('x-amz-date'))
}

function readSigningTime(amzDate: string): number {
  const signedAt = parseAmzDate(amzDate)
  if (signedAt === undefined)
    throw new SignatureError(
      'INCOMPLETE',
      `Date must be in ISO-8601 'basic format'. Got '${amzDate}'. See http://en.wikipedia.org/wiki/ISO_8601`,
    )
  return signedAt
}

function assertScope(
  { service, region, terminator, date }: Authorization,
  amzDate: string,
  context: VerificationContext,
): void {
  const complaints: string[] = []
  if (!REGION.test(region) || context.regions?.(region) === false)
    complaints.push('Credential should be scoped to a valid region.')
  if (service !== context.service)
    complaints.push(`Credential should be scoped to correct service: '${context.service}'.`)
  if (terminator !== TERMINATOR)
    complaints.push(
      `Credential should be scoped with a valid terminator: '${TERMINATOR}', not '${terminator}'.`,
    )
  if (date !== amzDate.slice(0, 8))
    complaints.push(
      `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '${date}' != '${amzDate.slice(0, 8)}', from '${amzDate}'.`,
    )
  if (complaints.length > 0) throw new SignatureError('SCOPE', complaints.join(' '))
}

/** The names in SignedHeaders, once they are sorted, lower-case, unique, present once, and cover what they must. */
function signedHeaderNames(
  authorization: Authorization,
  { values, repeated }: RequestHeaders,
): string[] {
  const names = authorization.signedHeaders.split(';')
  let previous = ''
  for (const name of names) {
    // Upper case cannot pass: the names in `values` are lower-cased (AT-S12).
    if (name <= previous || !values.has(name) || repeated.has(name)) throw mismatch()
    previous = name
  }
  for (const [name, shown] of MUST_BE_SIGNED) if (!names.includes(name)) throw unsigned(shown)
  // An unsigned X-Amz-Target would let anybody turn a signed Encrypt into a Decrypt.
  for (const name of values.keys())
    if (name.startsWith('x-amz-') && !names.includes(name)) throw unsigned(`'${name}'`)
  return names
}

function assertCurrent(amzDate: string, signedAt: number, now: number): void {
  if (signedAt < now - MAX_SKEW_SECONDS)
    throw new SignatureError(
      'EXPIRED',
      `Signature expired: ${amzDate} is now earlier than ${formatAmzDate(now - MAX_SKEW_SECONDS)} (${formatAmzDate(now)} - ${MAX_SKEW_TEXT})`,
    )
  if (signedAt > now + MAX_SKEW_SECONDS)
    throw new SignatureError(
      'NOT_YET_CURRENT',
      `Signature not yet current: ${amzDate} is still later than ${formatAmzDate(now + MAX_SKEW_SECONDS)} (${formatAmzDate(now)} + ${MAX_SKEW_TEXT})`,
    )
}

/** AT-S16: the caller may state the hash of the body, never choose it. */
function assertStatedHash({ values }: RequestHeaders, bodyHash: string): void {
  const stated = values.get('x-amz-content-sha256')
  if (stated !== undefined && stated !== bodyHash)
    throw new SignatureError(
      'MISMATCH',
      "The provided 'x-amz-content-sha256' header does not match what was computed.",
    )
}

/** AT-S27, XKS A-16: a request refused here has cost one full derivation and one HMAC, whoever it named. */
function assertSigned(
  authorization: Authorization,
  stringToSign: string,
  context: VerificationContext,
): void {
  const { signingKeys } = context
  const known = context.findSecret(authorization.accessKeyId)
  const secret = known ?? signingKeys.dummySecret
  const cached = signingKeys.find(authorization, secret)
  const key = cached ?? deriveSigningKey(authorization, secret)
  const matches = equalBytes(
    Buffer.from(key.hex(stringToSign), 'latin1'),
    Buffer.from(authorization.signature, 'latin1'), // as text, so that no other spelling is equal (AT-S19)
  )
  if (known !== undefined && matches) {
    if (cached === undefined) signingKeys.remember(authorization, secret, key)
    return
  }
  if (cached !== undefined) deriveSigningKey(authorization, secret)
  throw known === undefined ? unknownKey() : mismatch()
}

function missingToken(): SignatureError {
  return new SignatureError('MISSING_TOKEN', 'Missing Authentication Token')
}

function unknownKey(): SignatureError {
  return new SignatureError('UNKNOWN_KEY', 'The security token included in the request is invalid.')
}

function unsigned(shown: string): SignatureError {
  return new SignatureError(
    'MISMATCH',
    `${shown} must be a 'SignedHeader' in the AWS Authorization.`,
  )
}

function mismatch(): SignatureError {
  return new SignatureError(
    'MISMATCH',
    'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.',
  )
}
