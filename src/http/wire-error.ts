import { KMS_ERRORS, KmsError, type KmsErrorCode } from '../kms/kms-error.ts'
import { SignatureError, type SignatureErrorCode } from '../sigv4/signature-error.ts'

/** What a face refuses before anything of KMS is reached. The names follow AWS's common errors, so that SDKs know them. */
const HTTP_REFUSALS = {
  NO_SUCH_PATH: { status: 404, type: 'UnknownOperationException' },
  NOT_POST: { status: 405, type: 'UnknownOperationException' },
  BODY_TOO_LARGE: { status: 413, type: 'RequestEntityTooLargeException' },
  HEADERS_TOO_LARGE: { status: 431, type: 'RequestEntityTooLargeException' },
  TOO_SLOW: { status: 408, type: 'RequestTimeoutException' }, // a name that the SDKs retry
  EXPECTATION: { status: 417, type: 'SerializationException' },
  NOT_HTTP: { status: 400, type: 'SerializationException' },
} as const satisfies Record<string, { status: number; type: string }>

export type HttpRefusalCode = keyof typeof HTTP_REFUSALS

/** A request that HTTP alone is enough to refuse. */
export class HttpRefusal extends Error {
  readonly code: HttpRefusalCode

  constructor(code: HttpRefusalCode) {
    super(code)
    this.name = 'HttpRefusal'
    this.code = code
  }
}

// KMS answers all of these with status 400, and InvalidSignatureException also for a clock that is off: that name is in the
// list of clock-skew errors of the SDKs, which then read the Date header and sign again.
const SIGNATURE_EXCEPTIONS: Record<SignatureErrorCode, KmsErrorCode> = {
  MISSING_TOKEN: 'MissingAuthenticationTokenException',
  INCOMPLETE: 'IncompleteSignatureException',
  UNKNOWN_KEY: 'UnrecognizedClientException',
  SCOPE: 'InvalidSignatureException',
  EXPIRED: 'InvalidSignatureException',
  NOT_YET_CURRENT: 'InvalidSignatureException',
  MISMATCH: 'InvalidSignatureException',
}

// Exceptions of AWS's front rather than of KMS spell it with a capital: KMS-3 for the first; the second as every
// JSON 1.1 service of theirs sends it.
const CAPITAL_MESSAGE: ReadonlySet<string> = new Set([
  'AccessDeniedException',
  'SerializationException',
])

/** An error as it leaves the house. `type` and `message` are also what audit and metrics are told. */
export interface WireError {
  readonly status: number
  readonly type: string
  readonly message: string
  readonly body: string
}

/** Decides what a caller may learn of an error: of one that nobody foresaw, only the id to ask for. */
export function wireError(error: unknown, requestId: string): WireError {
  if (error instanceof HttpRefusal) {
    const { status, type } = HTTP_REFUSALS[error.code]
    return wire(status, type)
  }
  if (error instanceof SignatureError) {
    const type = SIGNATURE_EXCEPTIONS[error.code]
    return wire(KMS_ERRORS[type].status, type, error.message)
  }
  if (error instanceof KmsError) {
    const { status } = KMS_ERRORS[error.code]
    return wire(status, error.code, error.hasMessage ? error.message : undefined)
  }
  return wire(500, 'KMSInternalException', `An internal failure occurred. Request ID: ${requestId}`)
}

// KMS-1: the bare name, the message if there is one, and no other member.
function wire(status: number, type: string, message?: string): WireError {
  const member = CAPITAL_MESSAGE.has(type) ? 'Message' : 'message'
  const body = JSON.stringify({ __type: type, [member]: message })
  return { status, type, message: message ?? '', body }
}
