/**
 * Why a request is not authenticated. AWS answers `MISSING_TOKEN` with MissingAuthenticationTokenException,
 * `INCOMPLETE` with IncompleteSignatureException, `UNKNOWN_KEY` with UnrecognizedClientException and the
 * others with InvalidSignatureException.
 */
export type SignatureErrorCode =
  | 'MISSING_TOKEN'
  | 'INCOMPLETE'
  | 'UNKNOWN_KEY'
  | 'SCOPE'
  | 'EXPIRED'
  | 'NOT_YET_CURRENT'
  | 'MISMATCH'

/**
 * A request that did not prove who sent it. The message is fit for the caller: AWS's own text where it is
 * known, never an expected signature or a string to sign.
 */
export class SignatureError extends Error {
  readonly code: SignatureErrorCode

  constructor(code: SignatureErrorCode, message: string) {
    super(message)
    this.name = 'SignatureError'
    this.code = code
  }
}
