import { hash } from 'node:crypto'
import { SignatureError } from './signature-error.ts'

export const ALGORITHM = 'AWS4-HMAC-SHA256'
export const TERMINATOR = 'aws4_request'

/** What an Authorization header claims; nothing of it is proved yet. */
export interface Authorization {
  readonly accessKeyId: string
  readonly date: string
  readonly region: string
  readonly service: string
  readonly terminator: string
  /** `date/region/service/terminator` as the caller wrote it. */
  readonly scope: string
  /** As written, separated by semicolons. */
  readonly signedHeaders: string
  readonly signature: string
}

const PARAMETERS = ['Credential', 'Signature', 'SignedHeaders'] as const

/** Parses the header form of SigV4. Throws SignatureError INCOMPLETE with the text AWS has for what is missing. */
export function parseAuthorization(header: string, amzDate: string | undefined): Authorization {
  const space = header.indexOf(' ')
  const algorithm = space < 0 ? header : header.slice(0, space)
  if (algorithm.startsWith('AWS4-') && algorithm !== ALGORITHM)
    throw incomplete(`Unsupported AWS 'algorithm': '${algorithm}'.`)

  const parameters =
    algorithm === ALGORITHM ? readParameters(header, space) : new Map<string, string>()
  const missing = missingParts(parameters, amzDate)
  if (missing.length > 0)
    throw incomplete(
      `${missing.join(' ')} (Hashed with SHA-256 and encoded with Base64) Authorization=${digest(header)}`,
    )

  const credential = parameters.get('Credential') as string
  const elements = credential.split('/')
  if (elements.length !== 5 || elements.includes(''))
    throw incomplete(
      `Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '${credential}'`,
    )
  const [accessKeyId, date, region, service, terminator] = elements as FiveStrings
  return {
    accessKeyId,
    date,
    region,
    service,
    terminator,
    scope: credential.slice(accessKeyId.length + 1),
    signedHeaders: parameters.get('SignedHeaders') as string,
    signature: parameters.get('Signature') as string,
  }
}

function readParameters(header: string, start: number): Map<string, string> {
  const parameters = new Map<string, string>()
  if (start < 0) return parameters
  for (const part of header.slice(start).split(',')) {
    const pair = part.trim()
    const equals = pair.indexOf('=')
    if (equals < 1)
      throw incomplete(
        `Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '${digest(header)}'.`,
      )
    const name = pair.slice(0, equals)
    if (parameters.has(name)) throw incomplete(`Authorization header has '${name}' twice.`)
    parameters.set(name, pair.slice(equals + 1))
  }
  return parameters
}

function missingParts(
  parameters: ReadonlyMap<string, string>,
  amzDate: string | undefined,
): string[] {
  const missing = PARAMETERS.filter((name) => !parameters.get(name)).map(
    (name) => `Authorization header requires '${name}' parameter.`,
  )
  // AT-S09: AWS would take a Date header here; we want the one that is signed, and say so.
  if (amzDate === undefined)
    missing.push(`Authorization header requires existence of a 'X-Amz-Date' header.`)
  return missing
}

/** AWS shows the header as a digest, so that a signature never comes back in an answer or a log. */
function digest(header: string): string {
  return hash('sha256', header, 'base64')
}

function incomplete(message: string): SignatureError {
  return new SignatureError('INCOMPLETE', message)
}

type FiveStrings = [string, string, string, string, string]
