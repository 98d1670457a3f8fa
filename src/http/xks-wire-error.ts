import { SignatureError, type SignatureErrorCode } from '../sigv4/signature-error.ts'
import { fitForWire, XKS_ERRORS, XksError, type XksErrorName } from '../xks/xks-error.ts'
import type { FaceDialect, WireError } from './face-dialect.ts'
import { HttpRefusal, type HttpRefusalCode } from './http-refusal.ts'

const REFUSAL_MESSAGES: Record<HttpRefusalCode, string> = {
  NO_SUCH_PATH: XKS_ERRORS.InvalidUriPathException.message,
  NOT_POST: 'The XKS Proxy API takes POST only.',
  BODY_TOO_LARGE: 'The request body is too large.',
  HEADERS_TOO_LARGE: 'The request headers are too large.',
  TOO_SLOW: 'The request did not arrive in time.',
  EXPECTATION: 'The expectation in the request cannot be met.',
  NOT_HTTP: 'The request is not valid HTTP.',
}

const OFF_BY = 'The request could not be authenticated: its date is more than five minutes'

/** Everything else about a signature has one text: which part of it was wrong would help to forge it. */
const CLOCK_MESSAGES: { readonly [Code in SignatureErrorCode]?: string } = {
  EXPIRED: `${OFF_BY} behind the clock of the proxy.`,
  NOT_YET_CURRENT: `${OFF_BY} ahead of the clock of the proxy.`,
}

/** Decides what AWS KMS, and through it the owner of the key, may learn of an error. */
export function xksWireError(error: unknown, requestId: string): WireError {
  if (error instanceof XksError) return wire(error.status, error.errorName, error.message)
  if (error instanceof SignatureError) {
    const name = 'AuthenticationFailedException'
    return wire(XKS_ERRORS[name].status, name, CLOCK_MESSAGES[error.code])
  }
  if (error instanceof HttpRefusal) {
    const name = error.code === 'NO_SUCH_PATH' ? 'InvalidUriPathException' : 'ValidationException'
    return wire(error.status, name, REFUSAL_MESSAGES[error.code])
  }
  const { status, message } = XKS_ERRORS.InternalException
  return wire(status, 'InternalException', `${message} Request ID: ${requestId}`)
}

function wire(
  status: number,
  type: XksErrorName,
  said: string = XKS_ERRORS[type].message,
): WireError {
  const message = fitForWire(said)
  return { status, type, message, body: JSON.stringify({ errorName: type, errorMessage: message }) }
}

/** How the XKS Proxy API answers (XKS T-01). */
export const XKS_DIALECT: FaceDialect = {
  contentType: 'application/json',
  requestIdHeader: 'x-hsm-bridge-request-id',
  wireError: xksWireError,
}
