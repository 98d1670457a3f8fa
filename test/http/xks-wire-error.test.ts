import { expect } from 'chai'
import { HttpRefusal, type HttpRefusalCode } from '../../src/http/http-refusal.ts'
import { xksWireError } from '../../src/http/xks-wire-error.ts'
import { SignatureError, type SignatureErrorCode } from '../../src/sigv4/signature-error.ts'
import { XKS_ERRORS, XksError, type XksErrorName } from '../../src/xks/xks-error.ts'
import { SeededRandom } from '../support/seeded-random.ts'

const ID = '11111111-2222-4333-8444-555555555555'

describe('xksWireError', () => {
  for (const [name, { status, message }] of Object.entries(XKS_ERRORS)) {
    it(`XKS X-13: ${name} has status ${status} and exactly two members`, () => {
      const answer = xksWireError(new XksError(name as XksErrorName), ID)
      expect(answer).to.include({ status, type: name, message })
      expect(JSON.parse(answer.body)).to.deep.equal({ errorName: name, errorMessage: message })
    })
  }

  it('XKS X-13: keeps any text within 511 characters of printable ASCII', () => {
    const random = new SeededRandom(20261122)
    for (let i = 0; i < 1_000; i++) {
      const codes = Array.from({ length: Math.floor(random.between(0, 700)) }, () =>
        Math.floor(random.between(0, i % 2 ? 0x80 : 0x10000)),
      )
      const { body } = xksWireError(
        new XksError('InternalException', String.fromCharCode(...codes)),
        ID,
      )
      const { errorMessage } = JSON.parse(body)
      expect(errorMessage).to.match(/^[ -~]{0,511}$/)
      expect(errorMessage).to.have.lengthOf(Math.min(codes.length, 511))
    }
  })

  for (const code of ['MISSING_TOKEN', 'INCOMPLETE', 'UNKNOWN_KEY', 'SCOPE', 'MISMATCH'] as const) {
    it(`XKS X-05: ${code} is AuthenticationFailedException without a word about the reason`, () => {
      expect(xksWireError(new SignatureError(code, 'the reason'), ID)).to.include({
        status: 401,
        type: 'AuthenticationFailedException',
        message: XKS_ERRORS.AuthenticationFailedException.message,
      })
    })
  }

  for (const [code, word] of [
    ['EXPIRED', 'behind'],
    ['NOT_YET_CURRENT', 'ahead'],
  ] as const satisfies readonly [SignatureErrorCode, string][]) {
    it(`XKS X-15: ${code} tells the owner of the key that a clock is off`, () => {
      const answer = xksWireError(new SignatureError(code, '20150830T123600Z'), ID)
      expect(answer.status).to.equal(401)
      expect(answer.message).to.contain(word).and.not.to.contain('2015')
    })
  }

  for (const [code, status, name] of [
    ['NO_SUCH_PATH', 404, 'InvalidUriPathException'],
    ['NOT_POST', 405, 'ValidationException'],
    ['BODY_TOO_LARGE', 413, 'ValidationException'],
    ['HEADERS_TOO_LARGE', 431, 'ValidationException'],
    ['TOO_SLOW', 408, 'ValidationException'],
    ['EXPECTATION', 417, 'ValidationException'],
    ['NOT_HTTP', 400, 'ValidationException'],
  ] as const satisfies readonly [HttpRefusalCode, number, XksErrorName][]) {
    it(`XKS X-14: ${code} is ${status} ${name}`, () => {
      const answer = xksWireError(new HttpRefusal(code), ID)
      expect(answer).to.include({ status, type: name })
      expect(Object.keys(JSON.parse(answer.body))).to.deep.equal(['errorName', 'errorMessage'])
    })
  }

  for (const thrown of [
    new TypeError('secret detail'),
    'secret detail',
    undefined,
    { code: 'X' },
  ]) {
    it(`XKS X-12: tells nothing of ${thrown instanceof Error ? thrown.name : typeof thrown} but the request id`, () => {
      const answer = xksWireError(thrown, ID)
      expect(answer).to.include({ status: 500, type: 'InternalException' })
      expect(answer.body).to.contain(ID).and.not.to.contain('secret')
    })
  }
})
