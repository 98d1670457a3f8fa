import { expect } from 'chai'
import { XKS_ERRORS, XksError, type XksErrorName } from '../../src/xks/xks-error.ts'
import { SeededRandom } from '../support/seeded-random.ts'

const ROWS: readonly [rule: string, status: number, errorName: XksErrorName][] = [
  ['XKS X-01', 400, 'ValidationException'],
  ['XKS X-02', 400, 'InvalidStateException'],
  ['XKS X-03', 400, 'InvalidCiphertextException'],
  ['XKS X-04', 400, 'InvalidKeyUsageException'],
  ['XKS X-05', 401, 'AuthenticationFailedException'],
  ['XKS X-06', 403, 'AccessDeniedException'],
  ['XKS X-07', 404, 'KeyNotFoundException'],
  ['XKS X-08', 404, 'InvalidUriPathException'],
  ['XKS X-09', 429, 'ThrottlingException'],
  ['XKS X-10', 501, 'UnsupportedOperationException'],
  ['XKS X-11', 503, 'DependencyTimeoutException'],
  ['XKS X-12', 500, 'InternalException'],
]

describe('XksError', () => {
  it('has the twelve names and no more', () =>
    expect(Object.keys(XKS_ERRORS)).to.have.members(ROWS.map(([, , errorName]) => errorName)))

  for (const [rule, status, errorName] of ROWS)
    it(`${rule}: ${errorName} is ${status}`, () => {
      const error = new XksError(errorName)
      expect(error).to.include({ errorName, status })
      expect(error.message).to.match(/^[\x20-\x7e]{1,511}$/)
    })

  it('XKS X-13: whatever a message is made of, printable ASCII of less than 512 characters goes out', () => {
    const random = new SeededRandom()
    for (let round = 0; round < 500; round++) {
      const message = String.fromCharCode(
        ...Array.from({ length: random.between(1, 700) }, () => random.between(0, 0x10000)),
      )
      expect(new XksError('InternalException', message).message).to.match(/^[\x20-\x7e]{1,511}$/)
    }
  })
})
