import { expect } from 'chai'
import { HttpRefusal } from '../../src/http/http-refusal.ts'
import { wireError } from '../../src/http/wire-error.ts'
import { KMS_ERRORS, KmsError, type KmsErrorCode } from '../../src/kms/kms-error.ts'
import { SignatureError, type SignatureErrorCode } from '../../src/sigv4/signature-error.ts'

const ID = '11111111-2222-4333-8444-555555555555'
const CAPITAL = new Set(['AccessDeniedException', 'SerializationException'])

describe('wireError', () => {
  for (const [code, { status }] of Object.entries(KMS_ERRORS)) {
    const member = CAPITAL.has(code) ? 'Message' : 'message'
    const rule = CAPITAL.has(code) ? 'KMS-3' : 'KMS-1'
    it(`${rule}: ${code} is a bare __type and a ${member}`, () => {
      const answer = wireError(new KmsError(code as KmsErrorCode, 'why “not”'), ID)
      expect(answer.status).to.equal(status)
      expect(JSON.parse(answer.body)).to.deep.equal({ __type: code, [member]: 'why “not”' })
      expect(answer).to.include({ type: code, message: 'why “not”' })
    })

    it(`KMS-2: ${code} without a message has no such member`, () => {
      const answer = wireError(new KmsError(code as KmsErrorCode), ID)
      expect(answer.body).to.equal(`{"__type":"${code}"}`)
      expect(answer.message).to.equal('')
    })
  }

  for (const [code, exception] of [
    ['MISSING_TOKEN', 'MissingAuthenticationTokenException'],
    ['INCOMPLETE', 'IncompleteSignatureException'],
    ['UNKNOWN_KEY', 'UnrecognizedClientException'],
    ['SCOPE', 'InvalidSignatureException'],
    ['EXPIRED', 'InvalidSignatureException'],
    ['NOT_YET_CURRENT', 'InvalidSignatureException'],
    ['MISMATCH', 'InvalidSignatureException'],
  ] as const satisfies readonly [SignatureErrorCode, string][]) {
    it(`KMS-1: the signature error ${code} is ${exception} with status 400`, () => {
      const answer = wireError(new SignatureError(code, 'text'), ID)
      expect(answer.status).to.equal(400)
      expect(JSON.parse(answer.body)).to.deep.equal({ __type: exception, message: 'text' })
    })
  }

  for (const thrown of [
    new TypeError('secret detail'),
    'secret detail',
    undefined,
    { code: 'X' },
  ]) {
    it(`tells nothing of ${thrown instanceof Error ? thrown.name : typeof thrown} but the request id`, () => {
      const answer = wireError(thrown, ID)
      expect(answer.status).to.equal(500)
      expect(JSON.parse(answer.body)).to.deep.equal({
        __type: 'KMSInternalException',
        message: `An internal failure occurred. Request ID: ${ID}`,
      })
    })
  }

  it('gives HTTP’s refusals a status of their own', () => {
    expect(wireError(new HttpRefusal('BODY_TOO_LARGE'), ID)).to.include({
      status: 413,
      body: '{"__type":"RequestEntityTooLargeException"}',
    })
    expect(wireError(new HttpRefusal('NO_SUCH_PATH'), ID).status).to.equal(404)
  })
})
