import { KMS_ERRORS, KmsError, type KmsErrorCode } from '../kms/kms-error.ts'
import { SignatureError, type SignatureErrorCode } from '../sigv4/signature-error.ts'
import type { FaceDialect, WireError } from './face-dialect.ts'
import { HttpRefusal, type HttpRefusalCode } from './http-refusal.ts'

/** The names follow AWS's common errors, so that SDKs know them. */
const REFUSAL_TYPES: Record<HttpRefusalCode, string> = {
  NO_SUCH_PATH: 'UnknownOperationException',
  NOT_POST: 'UnknownOperationException',
  BODY_TOO_LARGE: 'RequestEntityTooLargeException',
  HEADERS_TOO_LARGE: 'RequestEntityTooLargeException',
  TOO_SLOW: 'RequestTimeoutException', // a name that the SDKs retry
  EXPECTATION: 'SerializationException',
  NOT_HTTP: 'SerializationException',
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

/** Decides what a caller may learn of an error: of one that nobody foresaw, only the id to ask for. */
export function wireError(error: unknown, requestId: string): WireError {
  if (error instanceof HttpRefusal) {
    return wire(error.status, REFUSAL_TYPES[error.code])
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

/** How the AWS KMS JSON 1.1 API answers. */
export const KMS_DIALECT: FaceDialect = {
  contentType: 'application/x-amz-json-1.1',
  requestIdHeader: 'x-amzn-RequestId',
  wireError,
}
