import { expect } from 'chai'
import { CustodyError, type CustodyErrorCode } from '../../src/crypto/custody-error.ts'
import { kmsErrorOf } from '../../src/kms/custody-failures.ts'
import { KMS_ERRORS, type KmsErrorCode } from '../../src/kms/kms-error.ts'

const ROWS: readonly [CustodyErrorCode, KmsErrorCode, number][] = [
  ['CIPHERTEXT_REJECTED', 'InvalidCiphertextException', 400],
  ['KEY_UNAVAILABLE', 'KeyUnavailableException', 500],
  ['DEVICE_GONE', 'KeyUnavailableException', 500],
  ['LOGIN_REFUSED', 'KeyUnavailableException', 500],
  ['TOKEN_LIED', 'KeyUnavailableException', 500],
  ['DEADLINE', 'DependencyTimeoutException', 503],
  ['CAPACITY', 'ThrottlingException', 400],
  ['UNSUPPORTED', 'UnsupportedOperationException', 400],
  ['KEY_USAGE', 'InvalidKeyUsageException', 400],
  ['INPUT', 'ValidationException', 400],
  ['KEY_AMBIGUOUS', 'KMSInternalException', 500],
  ['INTERNAL', 'KMSInternalException', 500],
]

describe('custody failures', () => {
  for (const [code, expected, status] of ROWS)
    it(`${code} reads as ${expected}, status ${status}, with the cause for the log only`, () => {
      const cause = new CustodyError(code, 'C_Sign said CKR_SECRET_DETAIL')
      const error = kmsErrorOf(cause)
      expect(error.code).to.equal(expected)
      expect(KMS_ERRORS[error.code].status).to.equal(status)
      expect(error.cause).to.equal(cause)
      expect(error.message).not.to.contain('CKR')
    })

  it('a refused ciphertext has no message at all', () => {
    expect(kmsErrorOf(new CustodyError('CIPHERTEXT_REJECTED', 'tag')).hasMessage).to.equal(false)
  })
})
