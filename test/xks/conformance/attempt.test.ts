import { expect } from 'chai'
import { Sensitive } from '../../../src/bytes/sensitive.ts'
import { SigningKeys } from '../../../src/sigv4/signing-keys.ts'
import { verifySignature } from '../../../src/sigv4/verify-signature.ts'
import {
  type Attempt,
  bytesOf,
  signingOfKms,
  XKS_SERVICE,
} from '../../../src/xks/conformance/attempt.ts'

const CREDENTIAL = {
  accessKeyId: 'AKIAI2SFODNN7EXAMPLE',
  secretAccessKey: new Sensitive('secret'.repeat(8)),
}
const NOW_MS = Date.UTC(2026, 10, 22, 9, 0, 0, 500)
const ATTEMPT: Attempt = {
  method: 'POST',
  target: '/stores/one/kms/xks/v1/health',
  headers: [
    ['Host', 'xks.example.com'],
    ['Content-Type', 'application/json'],
  ],
  body: Buffer.from('{}'),
  signing: signingOfKms(CREDENTIAL, 'eu-west-1', NOW_MS),
}

describe('attempt', () => {
  it('is signed so that our own verification accepts it', () => {
    expect(verify(ATTEMPT).region).to.equal('eu-west-1')
  })

  it('says host and x-amz-date as AWS KMS does, and nothing that was not asked for', () => {
    expect(headersOf(ATTEMPT).map(([name]) => name)).to.deep.equal([
      'Host',
      'Content-Type',
      'X-Amz-Date',
      'Authorization',
      'Content-Length',
    ])
    expect(bytesOf(ATTEMPT).bytes.toString()).to.include('SignedHeaders=host;x-amz-date, ')
  })

  it('goes out unsigned without signing', () => {
    const { bytes, signature } = bytesOf({ ...ATTEMPT, signing: undefined })
    expect(signature).to.equal(undefined)
    expect(bytes.toString()).to.not.match(/authorization|x-amz-date/i)
  })

  it('sends another body than the one that was signed, with its true length', () => {
    const changed = { ...ATTEMPT, bodySent: Buffer.from('{ }') }
    expect(bytesOf(changed).bytes.toString()).to.match(/Content-Length: 3\r\n\r\n\{ \}$/)
    expect(() => verify(changed)).to.throw('does not match')
  })

  it('claims a length without sending a body', () => {
    const { bytes } = bytesOf({ ...ATTEMPT, claimedLength: 2 ** 30 })
    expect(bytes.toString()).to.match(/Content-Length: 1073741824\r\n\r\n$/)
  })

  it('signs a wrong terminator rightly, so that only the terminator is wrong', () => {
    const { signing } = ATTEMPT
    const changed = { ...ATTEMPT, signing: signing && { ...signing, terminator: 'aws4_requestx' } }
    expect(() => verify(changed)).to.throw(/valid terminator/)
  })
})

function verify(attempt: Attempt) {
  const text = bytesOf(attempt).bytes.toString('latin1')
  return verifySignature(
    {
      method: attempt.method,
      rawTarget: attempt.target,
      rawHeaders: headersOf(attempt).flat(),
      body: Buffer.from(text.slice(text.indexOf('\r\n\r\n') + 4), 'latin1'),
    },
    {
      service: XKS_SERVICE,
      findSecret: () => CREDENTIAL.secretAccessKey,
      now: () => NOW_MS,
      signingKeys: new SigningKeys(),
    },
  )
}

function headersOf(attempt: Attempt): [string, string][] {
  const [head = ''] = bytesOf(attempt).bytes.toString('latin1').split('\r\n\r\n')
  const [, ...lines] = head.split('\r\n')
  return lines.map((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1).trim()]
  })
}
