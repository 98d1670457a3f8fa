import type { CustodyError, CustodyErrorCode } from '../crypto/custody-error.ts'
import type { XksOperation } from './proxy.ts'
import { XksError, type XksErrorName } from './xks-error.ts'

interface FailureRow {
  readonly errorName: XksErrorName
  /** What the key's owner reads. No detail of the token: that is in the log, by the error's cause. */
  readonly message: string
}

/**
 * How what went wrong in a custody reads in the XKS API. No row says KeyNotFoundException: a key that we know exists, whatever
 * the token says of it (XKS X-16).
 */
const FAILURES: Readonly<Record<CustodyErrorCode, FailureRow>> = {
  CIPHERTEXT_REJECTED: {
    errorName: 'InvalidCiphertextException',
    message: 'The ciphertext cannot be decrypted.',
  },
  KEY_USAGE: {
    errorName: 'InvalidKeyUsageException',
    message: 'The token does not permit this use of the key.',
  },
  UNSUPPORTED: {
    errorName: 'UnsupportedOperationException',
    message: 'The token that holds the key cannot do this.',
  },
  INPUT: {
    errorName: 'UnsupportedOperationException',
    message: 'The token that holds the key refuses an input of this length or form.',
  },
  CAPACITY: { errorName: 'ThrottlingException', message: 'The token is busy.' },
  DEADLINE: {
    errorName: 'DependencyTimeoutException',
    message: 'The token did not answer in time.',
  },
  DEVICE_GONE: { errorName: 'InternalException', message: 'The token is not available.' },
  LOGIN_REFUSED: { errorName: 'InternalException', message: 'The token is not available.' },
  KEY_UNAVAILABLE: {
    errorName: 'InternalException',
    message: 'The token does not show the key at the moment.',
  },
  KEY_AMBIGUOUS: {
    errorName: 'InternalException',
    message: 'The token has more than one object of the name of the key.',
  },
  TOKEN_LIED: {
    errorName: 'InternalException',
    message: 'The token gave a result that did not stand verification.',
  },
  INTERNAL: { errorName: 'InternalException', message: 'The proxy could not serve the request.' },
}

export function xksErrorOf(error: CustodyError, operation: XksOperation): XksError {
  const { errorName, message } = FAILURES[error.code]
  // Only Decrypt has a ciphertext to blame (XKS X-03).
  if (errorName === 'InvalidCiphertextException' && operation !== 'Decrypt')
    return new XksError('InternalException', undefined, { cause: error })
  return new XksError(errorName, message, { cause: error })
}
