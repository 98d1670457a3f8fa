import type { CustodyError, CustodyErrorCode } from '../crypto/custody-error.ts'
import { KmsError, type KmsErrorCode } from './kms-error.ts'

interface FailureRow {
  readonly error: KmsErrorCode
  /** What the caller reads. No detail of the token: that is in the log, by the error's cause. */
  readonly message: string | undefined
  /** The token has answered, so nothing that was asked of it can still happen: what it made may be taken back at once. */
  readonly answered: boolean
}

const KEY_UNAVAILABLE = 'The key is not available at the moment. The request can be retried.'
const INTERNAL = 'The request could not be completed because of an internal error.'

/** How what went wrong in a custody reads in the KMS API. */
const FAILURES: Readonly<Record<CustodyErrorCode, FailureRow>> = {
  CIPHERTEXT_REJECTED: {
    error: 'InvalidCiphertextException',
    message: undefined,
    answered: false,
  },
  KEY_UNAVAILABLE: { error: 'KeyUnavailableException', message: KEY_UNAVAILABLE, answered: false },
  DEVICE_GONE: { error: 'KeyUnavailableException', message: KEY_UNAVAILABLE, answered: false },
  LOGIN_REFUSED: { error: 'KeyUnavailableException', message: KEY_UNAVAILABLE, answered: true },
  TOKEN_LIED: { error: 'KeyUnavailableException', message: KEY_UNAVAILABLE, answered: true },
  DEADLINE: {
    error: 'DependencyTimeoutException',
    message: 'The token did not answer in time. The request can be retried.',
    answered: false,
  },
  CAPACITY: { error: 'ThrottlingException', message: 'Rate exceeded', answered: true },
  UNSUPPORTED: {
    error: 'UnsupportedOperationException',
    message: 'The token that holds the key cannot do this.',
    answered: true,
  },
  KEY_USAGE: {
    error: 'InvalidKeyUsageException',
    message: 'The key does not permit this operation.',
    answered: true,
  },
  INPUT: {
    error: 'ValidationException',
    message: 'The token refuses an input of this length or form.',
    answered: true,
  },
  KEY_AMBIGUOUS: { error: 'KMSInternalException', message: INTERNAL, answered: false },
  INTERNAL: { error: 'KMSInternalException', message: INTERNAL, answered: false },
}

export function kmsErrorOf(error: CustodyError): KmsError {
  const row = FAILURES[error.code]
  return new KmsError(row.error, row.message, { cause: error })
}

export function tokenHasAnswered(error: CustodyError): boolean {
  return FAILURES[error.code].answered
}
