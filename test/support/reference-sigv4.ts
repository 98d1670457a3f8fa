import { createHash, createHmac } from 'node:crypto'
import type { XksDefect } from './reference-xks-defects.ts'

export interface ReferenceCredential {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export interface SignedReferenceRequest {
  readonly method: string
  /** As it is signed: not tidied up. */
  readonly target: string
  /** Values by lower-case name. */
  readonly headers: ReadonlyMap<string, readonly string[]>
  readonly body: Buffer
}

export interface SignatureRules {
  readonly region: string
  /** Those of the key store that was asked for. */
  readonly credentials: readonly ReferenceCredential[]
  has(defect: XksDefect): boolean
}

interface Claim {
  readonly accessKeyId: string
  readonly date: string
  readonly region: string
  readonly service: string
  readonly terminator: string
  readonly signedHeaders: string
  readonly signature: string
  readonly amzDate: string
}

const CLAIM =
  /^AWS4-HMAC-SHA256 Credential=(?<accessKeyId>[^/,]+)\/(?<date>[^/,]+)\/(?<region>[^/,]+)\/(?<service>[^/,]+)\/(?<terminator>[^/,]+), ?SignedHeaders=(?<signedHeaders>[^,]+), ?Signature=(?<signature>[0-9a-f]{64})$/
const RECENT_MS = 300_000

/** Why a request is not authenticated, as the specification's Appendix A has it; undefined when it is. */
export function signatureFault(
  request: SignedReferenceRequest,
  rules: SignatureRules,
): string | undefined {
  if (rules.has('the signature is not checked')) return undefined
  const claim = readClaim(request, rules)
  if (claim === undefined) return 'Not signed.'
  if (!isWellScoped(claim, rules)) return 'Signed for something else.'
  const canonical = canonicalRequest(request, claim, rules)
  if (canonical === undefined) return 'A header or the hash is not what was signed.'
  if (rules.has('the body is not signed')) return undefined
  const credential = rules.credentials.find((it) => it.accessKeyId === claim.accessKeyId)
  const expected = sign(canonical, claim, credential?.secretAccessKey ?? '')
  if (credential !== undefined && expected === claim.signature) return undefined
  return rules.has('refusals tell the right signature') ? `Expected ${expected}.` : 'Wrong.'
}

function readClaim({ headers }: SignedReferenceRequest, rules: SignatureRules): Claim | undefined {
  const dates = headers.get('x-amz-date') ?? []
  const [amzDate] = dates
  const doubtful = dates.length > 1 && !rules.has('a second X-Amz-Date is ignored')
  const authorization = headers.get('authorization') ?? []
  const groups = CLAIM.exec(authorization[0] ?? '')?.groups
  if (amzDate === undefined || doubtful || authorization.length !== 1 || !groups) return undefined
  return { ...(groups as unknown as Omit<Claim, 'amzDate'>), amzDate }
}

function isWellScoped(claim: Claim, { region, has }: SignatureRules): boolean {
  const { amzDate, date, signedHeaders } = claim
  const names = signedHeaders.split(';')
  const mustSign = has('Host need not be signed') ? ['x-amz-date'] : ['host', 'x-amz-date']
  return (
    (claim.region === region || has('any region')) &&
    (claim.service === 'kms-xks-proxy' || has('any service')) &&
    claim.terminator === 'aws4_request' &&
    mustSign.every((name) => names.includes(name)) &&
    names.every((name, at) => at === 0 || name > (names[at - 1] ?? '')) &&
    (amzDate.startsWith(date) || has('the date of the credential is not compared')) &&
    isRecent(amzDate, has('301 s are recent') ? RECENT_MS + 100_000 : RECENT_MS)
  )
}

function isRecent(amzDate: string, allowedMs: number): boolean {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(amzDate) ?? []
  const at = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  const now = Math.floor(Date.now() / 1000) * 1000
  return Math.abs(at - now) <= allowedMs // NaN is not
}

/** Undefined when a signed header is absent or repeated, or the body is not the one whose hash is stated. */
function canonicalRequest(
  { method, target, headers, body }: SignedReferenceRequest,
  { signedHeaders }: Claim,
  { has }: SignatureRules,
): string | undefined {
  const lines: string[] = []
  for (const name of signedHeaders.split(';')) {
    const values = headers.get(name) ?? []
    if (values.length !== 1 && name !== 'x-amz-date') return undefined
    lines.push(`${name}:${values[0]?.trim().replace(/ +/g, ' ') ?? ''}`)
  }
  const actual = sha256(body)
  const stated = headers.get('x-amz-content-sha256')?.[0] ?? actual
  if (stated !== actual && !has('the body may state its hash')) return undefined
  const path = target.split('/').map(encodeURIComponent).join('/')
  return [method, path, '', ...lines, '', signedHeaders, stated].join('\n')
}

function sign(
  canonical: string,
  { amzDate, date, region, service, terminator }: Claim,
  secretAccessKey: string,
): string {
  const scope = [date, region, service, terminator]
  const key = scope.reduce<Buffer | string>(
    (parent, part) => createHmac('sha256', parent).update(part).digest(),
    `AWS4${secretAccessKey}`,
  )
  const requestHash = sha256(Buffer.from(canonical, 'latin1'))
  return createHmac('sha256', key)
    .update(`AWS4-HMAC-SHA256\n${amzDate}\n${scope.join('/')}\n${requestHash}`)
    .digest('hex')
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
