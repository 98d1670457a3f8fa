import { expect } from 'chai'
import { CustodyError, type CustodyErrorCode } from '../../src/crypto/custody-error.ts'
import { xksErrorOf } from '../../src/xks/custody-failures.ts'
import type { XksErrorName } from '../../src/xks/xks-error.ts'

const ROWS: readonly [CustodyErrorCode, status: number, XksErrorName][] = [
  ['CIPHERTEXT_REJECTED', 400, 'InvalidCiphertextException'],
  ['KEY_USAGE', 400, 'InvalidKeyUsageException'],
  ['UNSUPPORTED', 501, 'UnsupportedOperationException'],
  ['INPUT', 501, 'UnsupportedOperationException'],
  ['CAPACITY', 429, 'ThrottlingException'],
  ['DEADLINE', 503, 'DependencyTimeoutException'],
  ['DEVICE_GONE', 500, 'InternalException'],
  ['LOGIN_REFUSED', 500, 'InternalException'],
  ['KEY_UNAVAILABLE', 500, 'InternalException'],
  ['KEY_AMBIGUOUS', 500, 'InternalException'],
  ['TOKEN_LIED', 500, 'InternalException'],
  ['INTERNAL', 500, 'InternalException'],
]

describe('custody failures in the XKS API', () => {
  for (const [code, status, errorName] of ROWS)
    it(`XKS X-16: ${code} reads as ${status} ${errorName}, with the cause for the log only`, () => {
      const cause = new CustodyError(code, 'C_Decrypt said CKR_SECRET_DETAIL')
      const error = xksErrorOf(cause, 'Decrypt')
      expect(error).to.include({ status, errorName, cause })
      expect(error.message).not.to.contain('CKR')
    })

  it('XKS X-03: only Decrypt blames a ciphertext', () =>
    expect(
      xksErrorOf(new CustodyError('CIPHERTEXT_REJECTED', 'tag'), 'Encrypt').errorName,
    ).to.equal('InternalException'))
})
