import { hash } from 'node:crypto'
import { inspect } from 'node:util'
import { expect } from 'chai'
import { Sensitive } from '../../src/bytes/sensitive.ts'
import { SigningKeys } from '../../src/sigv4/signing-keys.ts'
import type { SignedRequest } from '../../src/sigv4/verify-signature.ts'
import { verifySignature } from '../../src/sigv4/verify-signature.ts'
import { countCryptoCalls } from '../support/crypto-calls.ts'
import {
  ACCESS_KEY_ID,
  AMZ_DATE,
  type Draft,
  draft,
  NOW,
  outcome,
  refusal,
  SECRET,
  signDraft,
  verificationContext,
  withHeader,
} from './reference-signer.ts'

const signed = (changes: Partial<Draft> = {}): SignedRequest => signDraft(draft(changes)).request

describe('verifySignature', () => {
  it('accepts a signed request and says who, where and when', () => {
    expect(verifySignature(signed(), verificationContext())).to.deep.include({
      accessKeyId: ACCESS_KEY_ID,
      region: 'eu-west-1',
      signedAt: NOW,
    })
  })

  it('AT-S28 accepts a signed session token and ignores it', () => {
    const { headers, signedNames } = draft()
    const withToken = {
      headers: [...headers, ['X-Amz-Security-Token', 'tok/en==']] as [string, string][],
      signedNames: ['content-type', 'host', 'x-amz-date', 'x-amz-security-token', 'x-amz-target'],
    }
    expect(outcome(signed(withToken))).to.equal('accepted')
    expect(outcome(signed({ ...withToken, signedNames }))).to.equal('MISMATCH')
  })

  it('hashes a header of UTF-8 as the bytes that came over the wire', () => {
    const { headers, signedNames } = draft()
    const request = signed({
      headers: [...headers, ['X-Name', 'café à ሴ']],
      signedNames: [...signedNames, 'x-name'],
    })
    const asNodeReadsIt = (text: string) => Buffer.from(text, 'utf8').toString('latin1')
    expect(outcome(withHeader(request, 'x-name', asNodeReadsIt))).to.equal('accepted')
  })

  describe('the published AWS vectors', () => {
    // aws-sig-v4-test-suite and the IAM example of the SigV4 documentation: signatures made by AWS.
    const scope = '20150830/us-east-1/service/aws4_request'
    const vectors: [
      title: string,
      method: string,
      target: string,
      headers: string[],
      body: string,
      signedNames: string,
      signature: string,
    ][] = [
      [
        'vanilla',
        'GET',
        '/',
        [],
        '',
        'host;x-amz-date',
        '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31',
      ],
      [
        'unreserved path',
        'GET',
        '/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz',
        [],
        '',
        'host;x-amz-date',
        '07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f',
      ],
      [
        'many slashes',
        'GET',
        '//example//',
        [],
        '',
        'host;x-amz-date',
        '9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84',
      ],
      [
        'query order by name',
        'GET',
        '/?Param2=value2&Param1=value1',
        [],
        '',
        'host;x-amz-date',
        'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
      ],
      [
        'query order by value',
        'GET',
        '/?Param1=value2&Param1=value1',
        [],
        '',
        'host;x-amz-date',
        '5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694',
      ],
      [
        'UTF-8 query',
        'GET',
        `/?${Buffer.from('ሴ').toString('latin1')}=bar`,
        [],
        '',
        'host;x-amz-date',
        '2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04',
      ],
      [
        'header values trimmed',
        'GET',
        '/',
        ['My-Header1', ' value1', 'My-Header2', ' "a   b   c"'],
        '',
        'host;my-header1;my-header2;x-amz-date',
        'acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736',
      ],
      [
        'form body',
        'POST',
        '/',
        ['Content-Type', 'application/x-www-form-urlencoded'],
        'Param1=value1',
        'content-type;host;x-amz-date',
        'ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a',
      ],
    ]
    for (const [title, method, rawTarget, headers, body, signedNames, signature] of vectors)
      it(`AT-S29 accepts ${title}`, () => {
        const request = {
          method,
          rawTarget,
          rawHeaders: [
            ...['Host', 'example.amazonaws.com', 'X-Amz-Date', AMZ_DATE, ...headers],
            'Authorization',
            `AWS4-HMAC-SHA256 Credential=${ACCESS_KEY_ID}/${scope}, SignedHeaders=${signedNames}, Signature=${signature}`,
          ],
          body: Buffer.from(body),
        }
        expect(outcome(request, verificationContext({ service: 'service' }))).to.equal('accepted')
      })

    it('AT-S13 refuses the vector whose signed header occurs several times', () => {
      const request = {
        method: 'GET',
        rawTarget: '/',
        rawHeaders: [
          ...['Host', 'example.amazonaws.com', 'X-Amz-Date', AMZ_DATE],
          ...['My-Header1', 'value2', 'My-Header1', 'value2', 'My-Header1', 'value1'],
          'Authorization',
          `AWS4-HMAC-SHA256 Credential=${ACCESS_KEY_ID}/${scope}, SignedHeaders=host;my-header1;x-amz-date, Signature=c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea`,
        ],
        body: Buffer.alloc(0),
      }
      expect(outcome(request, verificationContext({ service: 'service' }))).to.equal('MISMATCH')
    })
  })

  describe('what is missing or malformed', () => {
    const noHeader = { ...signed(), rawHeaders: signed().rawHeaders.slice(0, -2) }
    const cases: [title: string, request: SignedRequest, code: string][] = [
      ['AT-S01 no Authorization', noHeader, 'MISSING_TOKEN'],
      [
        'AT-S01 an empty Authorization',
        withHeader(signed(), 'authorization', () => ''),
        'MISSING_TOKEN',
      ],
      ['AT-S02 HMAC-SHA1', signed({ algorithm: 'AWS4-HMAC-SHA1' }), 'INCOMPLETE'],
      ['AT-S02 ECDSA', signed({ algorithm: 'AWS4-ECDSA-P256-SHA256' }), 'INCOMPLETE'],
      [
        'AT-S02 Basic',
        withHeader(signed(), 'authorization', () => 'Basic QWxhZGRpbjo='),
        'INCOMPLETE',
      ],
      ['AT-S02 Bearer', withHeader(signed(), 'authorization', () => 'Bearer a.b.c'), 'INCOMPLETE'],
      ['AT-S03 another service', signed({ service: 'kms-xks-proxy' }), 'SCOPE'],
      ['AT-S05 another date in the scope', signed({ date: '20150829' }), 'SCOPE'],
      ['AT-S06 another terminator', signed({ terminator: 'aws4_requestx' }), 'SCOPE'],
      ['a region that is no name', signed({ region: 'EU:west' }), 'SCOPE'],
      [
        'AT-S09 only a Date header',
        signed({
          headers: [
            ['Host', 'h'],
            ['Date', 'Sun, 30 Aug 2015 12:36:00 GMT'],
          ],
          signedNames: ['date', 'host'],
        }),
        'INCOMPLETE',
      ],
      [
        'AT-S20 a second Authorization, the good one first',
        { ...signed(), rawHeaders: [...signed().rawHeaders, 'authorization', 'x'] },
        'INCOMPLETE',
      ],
      [
        'AT-S20 a second Authorization, the good one last',
        { ...signed(), rawHeaders: ['authorization', 'x', ...signed().rawHeaders] },
        'INCOMPLETE',
      ],
      [
        'AT-S20 a second X-Amz-Date',
        { ...signed(), rawHeaders: [...signed().rawHeaders, 'x-amz-date', AMZ_DATE] },
        'INCOMPLETE',
      ],
      ['AT-S22 the secret of somebody else', signed({ secret: 'other' }), 'MISMATCH'],
      ['an access key that nobody has', signed({ accessKeyId: 'AKIDNOBODY' }), 'UNKNOWN_KEY'],
    ]
    for (const [title, request, code] of cases)
      it(`refuses ${title}: ${code}`, () => expect(outcome(request)).to.equal(code))

    it('refuses an access key that nobody has even if the stand-in for its secret were known', () => {
      const context = verificationContext()
      const secret = context.signingKeys.dummySecret.reveal()
      expect(outcome(signed({ accessKeyId: 'AKIDNOBODY', secret }), context)).to.equal(
        'UNKNOWN_KEY',
      )
    })

    it('AT-S04 refuses a region that is not served', () => {
      const context = verificationContext({ regions: (region) => region === 'us-east-2' })
      expect(outcome(signed(), context)).to.equal('SCOPE')
      expect(outcome(signed({ region: 'us-east-2' }), context)).to.equal('accepted')
    })

    for (const amzDate of [
      'Sun, 30 Aug 2015 12:36:00 GMT',
      '20150830T123600.000Z',
      '20150830t123600z',
      '2015-08-30T12:36:00Z',
      '20150231T123600Z',
      '20150830T246000Z',
      '',
    ])
      it(`AT-S08 refuses the date '${amzDate}'`, () =>
        expect(outcome(signed({ amzDate, date: amzDate.slice(0, 8) }))).to.equal('INCOMPLETE'))

    it('AT-S08 finds the year 9999 not yet current', () =>
      expect(outcome(signed({ amzDate: '99990830T123600Z' }))).to.equal('NOT_YET_CURRENT'))
  })

  describe('the clock', () => {
    const cases: [seconds: number, code: string][] = [
      [-301, 'EXPIRED'],
      [-300, 'accepted'],
      [-299, 'accepted'],
      [299, 'accepted'],
      [300, 'accepted'],
      [301, 'NOT_YET_CURRENT'],
    ]
    for (const [seconds, code] of cases)
      it(`AT-S07 a signature ${seconds} s from now: ${code}`, () =>
        expect(
          outcome(signed(), verificationContext({ now: () => NOW - seconds * 1000 })),
        ).to.equal(code))

    it('AT-S24 refuses a replay after five minutes in the words of AWS', () =>
      expect(
        refusal(signed(), verificationContext({ now: () => NOW + 420_000 }))?.message,
      ).to.equal(
        'Signature expired: 20150830T123600Z is now earlier than 20150830T123800Z (20150830T124300Z - 5 min.)',
      ))

    it('says what is not yet current in the words of AWS', () =>
      expect(
        refusal(signed(), verificationContext({ now: () => NOW - 360_000 }))?.message,
      ).to.equal(
        'Signature not yet current: 20150830T123600Z is still later than 20150830T123500Z (20150830T123000Z + 5 min.)',
      ))

    it('AT-S25 accepts what was signed before midnight and arrives after it, then the new day', () => {
      const context = verificationContext({ now: () => Date.UTC(2015, 7, 31, 0, 0, 1) })
      expect(outcome(signed({ amzDate: '20150830T235958Z' }), context)).to.equal('accepted')
      expect(outcome(signed({ amzDate: '20150831T000000Z' }), context)).to.equal('accepted')
      expect(outcome(signed({ amzDate: '20150830T235958Z' }), context)).to.equal('accepted')
    })
  })

  describe('SignedHeaders', () => {
    const { headers } = draft()
    const many = Array.from({ length: 1000 }, (_, i) => `x-${String(i).padStart(4, '0')}`)
    const cases: [title: string, changes: Partial<Draft>][] = [
      ['AT-S10 without host', { signedNames: ['content-type', 'x-amz-date', 'x-amz-target'] }],
      ['AT-S11 without x-amz-date', { signedNames: ['content-type', 'host', 'x-amz-target'] }],
      [
        'without x-amz-target, which would let Encrypt become Decrypt',
        { signedNames: ['content-type', 'host', 'x-amz-date'] },
      ],
      ['AT-S12 unsorted', { signedNames: ['host', 'content-type', 'x-amz-date', 'x-amz-target'] }],
      [
        'AT-S12 with a name twice',
        { signedNames: ['content-type', 'host', 'host', 'x-amz-date', 'x-amz-target'] },
      ],
      [
        'AT-S12 in upper case',
        { signedNames: ['Content-Type', 'host', 'x-amz-date', 'x-amz-target'] },
      ],
      [
        'AT-S12 with an empty name',
        { signedNames: ['', 'content-type', 'host', 'x-amz-date', 'x-amz-target'] },
      ],
      [
        'AT-S12 naming an absent header',
        { signedNames: ['absent', 'content-type', 'host', 'x-amz-date', 'x-amz-target'] },
      ],
      [
        'AT-S12 naming a thousand absent ones',
        { signedNames: ['host', 'x-amz-date', 'x-amz-target', ...many] },
      ],
      [
        'AT-S13 naming one that occurs twice, good one first',
        { headers: [...headers, ['content-type', 'text/plain']] },
      ],
      [
        'AT-S13 naming one that occurs twice, good one last',
        { headers: [['content-type', 'text/plain'], ...headers] },
      ],
      [
        'AT-S13 naming a host that occurs twice',
        { headers: [...headers, ['host', 'kms.eu-west-1.amazonaws.com']] },
      ],
    ]
    for (const [title, changes] of cases)
      it(`refuses a list ${title}`, () => expect(outcome(signed(changes))).to.equal('MISMATCH'))

    it('lets an unsigned header that is not AWS’s come and go', () => {
      const request = signed()
      const rawHeaders = [...request.rawHeaders, 'User-Agent', 'x', 'X-Amzn-Trace-Id', 'Root=1']
      expect(outcome({ ...request, rawHeaders })).to.equal('accepted')
    })
  })

  describe('the body', () => {
    const other = Buffer.from('{"KeyId":"alias/b"}')
    const cases: [title: string, body: Buffer][] = [
      ['one bit flipped', Buffer.from('{"KeyId":"alias/`"}')],
      ['a byte appended', Buffer.from('{"KeyId":"alias/a"} ')],
      ['a byte cut off', Buffer.from('{"KeyId":"alias/a"')],
      ['nothing', Buffer.alloc(0)],
      ['the body of another signed request', other],
    ]
    for (const [title, body] of cases)
      it(`AT-S14 refuses ${title}`, () =>
        expect(outcome({ ...signed(), body })).to.equal('MISMATCH'))

    it('AT-S15 hashes a form body as it is', () => {
      const headers: [string, string][] = [
        ...draft().headers.filter(([name]) => name !== 'Content-Type'),
        ['Content-Type', 'application/x-www-form-urlencoded'],
      ]
      const body = Buffer.from('A=1')
      const folded = { headers, body, signedBody: Buffer.alloc(0), canonicalQuery: 'A=1' }
      expect(outcome(signed({ headers, body }))).to.equal('accepted')
      expect(outcome(signed(folded))).to.equal('MISMATCH')
    })

    for (const stated of [
      'UNSIGNED-PAYLOAD',
      'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
      hash('sha256', other, 'hex'),
    ])
      it(`AT-S16 refuses x-amz-content-sha256: ${stated.slice(0, 20)}`, () => {
        const changes: Partial<Draft> = {
          headers: [...draft().headers, ['X-Amz-Content-Sha256', stated]],
          signedNames: [
            'content-type',
            'host',
            'x-amz-content-sha256',
            'x-amz-date',
            'x-amz-target',
          ],
        }
        expect(outcome(signed({ ...changes, statedHash: stated }))).to.equal('MISMATCH')
        expect(outcome(signed(changes))).to.equal('MISMATCH')
      })

    it('AT-S16 accepts x-amz-content-sha256 with the true hash', () => {
      const { headers, body } = draft()
      expect(
        outcome(
          signed({
            headers: [...headers, ['X-Amz-Content-Sha256', hash('sha256', body, 'hex')]],
            signedNames: [
              'content-type',
              'host',
              'x-amz-content-sha256',
              'x-amz-date',
              'x-amz-target',
            ],
          }),
        ),
      ).to.equal('accepted')
    })
  })

  describe('the target', () => {
    it('AT-S17 refuses presigned authentication, with and without the header', () => {
      const presigned = '/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00'
      const canonicalQuery = presigned.slice(2)
      expect(outcome(signed({ rawTarget: presigned, canonicalQuery }))).to.equal('MISSING_TOKEN')
      expect(outcome({ ...signed(), rawTarget: presigned, rawHeaders: ['Host', 'h'] })).to.equal(
        'MISSING_TOKEN',
      )
      expect(
        outcome(
          signed({ rawTarget: '/?x%2Damz-signature=00', canonicalQuery: 'x-amz-signature=00' }),
        ),
      ).to.equal('MISSING_TOKEN')
    })

    for (const rawTarget of ['http://kms.eu-west-1.amazonaws.com/', '*', '', 'a'])
      it(`AT-S18 refuses the target '${rawTarget}'`, () =>
        expect(outcome(signed({ rawTarget }))).to.equal('MISMATCH'))

    for (const rawTarget of ['/a', '/%2F', '/%2e', '/;x', '/A', '/?', '/?a=1', '/%'])
      it(`AT-S18 does not take a signature for / at '${rawTarget}'${rawTarget === '/?' ? ', which is the same' : ''}`, () =>
        expect(outcome(signed({ rawTarget }))).to.equal(
          rawTarget === '/?' ? 'accepted' : 'MISMATCH',
        ))

    it('refuses another method', () =>
      expect(outcome({ ...signed(), method: 'GET' })).to.equal('MISMATCH'))
  })

  describe('the signature', () => {
    const edits: [title: string, edit: (signature: string) => string][] = [
      ['upper case', (s) => s.toUpperCase()],
      ['63 digits', (s) => s.slice(0, 63)],
      ['65 digits', (s) => `${s}0`],
      ['a space inside', (s) => `${s.slice(0, 10)} ${s.slice(10)}`],
      ['a NUL behind', (s) => `${s}\0`],
      ['10 MB', (s) => s.repeat(163_840)],
      ['the first digit wrong', (s) => (s[0] === '0' ? '1' : '0') + s.slice(1)],
      ['the last digit wrong', (s) => s.slice(0, 63) + (s[63] === '0' ? '1' : '0')],
    ]
    for (const [title, edit] of edits)
      it(`AT-S19 refuses ${title}`, () => {
        const request = withHeader(signed(), 'authorization', (value) => {
          const at = value.indexOf('Signature=') + 'Signature='.length
          return value.slice(0, at) + edit(value.slice(at))
        })
        expect(outcome(request)).to.equal('MISMATCH')
      })

    it('is found also without spaces and in another order', () => {
      const reordered = withHeader(signed(), 'authorization', (value) => {
        const [credential, names, signature] = value.slice('AWS4-HMAC-SHA256 '.length).split(', ')
        return `AWS4-HMAC-SHA256 ${signature},${credential},${names}`
      })
      expect(outcome(reordered)).to.equal('accepted')
    })
  })

  describe('what a refusal gives away', () => {
    it('AT-S26 no signature, string to sign, derived key or secret in any error', () => {
      const spoilt: Partial<Draft>[] = [
        { algorithm: 'AWS4-HMAC-SHA1' },
        { service: 'other' },
        { date: '20150829' },
        { signedNames: ['host', 'x-amz-date'] },
        { amzDate: '20140830T123600Z' },
        { amzDate: 'never', date: 'never' },
        { body: Buffer.from('{}'), signedBody: Buffer.from('[]') },
        { accessKeyId: 'AKIDNOBODY' },
      ]
      for (const changes of spoilt) {
        const { request, secrets } = signDraft(draft(changes))
        const right = signDraft(draft({ ...changes, signedBody: changes.body ?? draft().body }))
        const error = refusal(request)
        const shown = inspect(error, { showHidden: true, depth: 9 }) + JSON.stringify(error)
        for (const secret of [...secrets, ...right.secrets]) expect(shown).not.to.include(secret)
      }
    })

    it('AT-S27 an unknown access key costs the hashes of a known one with a wrong signature', async () => {
      const right = signed()
      const wrong = signed({ secret: 'wrong' })
      const unknown = signed({ accessKeyId: 'AKIDNOBODY' })
      const fresh = await countHashes(() => outcome(wrong))
      expect(fresh).to.deep.equal({ hash: 4, hmac: 4 }) // body, request, and two for the signature; four to derive its key
      expect(await countHashes(() => outcome(unknown))).to.deep.equal(fresh)

      const warm = verificationContext()
      expect(outcome(right, warm)).to.equal('accepted')
      expect(await countHashes(() => outcome(wrong, warm))).to.deep.equal(fresh)
      expect(await countHashes(() => outcome(unknown, warm))).to.deep.equal(fresh)
      expect(await countHashes(() => outcome(right, warm))).to.deep.equal({ hash: 4, hmac: 0 })
    })
  })

  describe('the cache of signing keys', () => {
    it('keeps a key only for who proved to have the secret', () => {
      const context = verificationContext()
      outcome(signed({ secret: 'wrong' }), context)
      outcome(signed({ accessKeyId: 'AKIDNOBODY' }), context)
      expect(context.signingKeys.size).to.equal(0)
      outcome(signed(), context)
      expect(context.signingKeys.size).to.equal(1)
    })

    it('AT-S25 follows a rotated secret at once', () => {
      let secret = SECRET
      const context = verificationContext({ findSecret: () => new Sensitive(secret) })
      expect(outcome(signed(), context)).to.equal('accepted')
      secret = 'rotated'
      expect(outcome(signed(), context)).to.equal('MISMATCH')
      expect(outcome(signed({ secret }), context)).to.equal('accepted')
      expect(outcome(signed({ secret }), context)).to.equal('accepted')
    })

    it('never holds more than its limit', () => {
      const context = verificationContext({ signingKeys: new SigningKeys(3) })
      for (const region of ['a-1', 'b-1', 'c-1', 'd-1', 'a-1', 'e-1']) {
        expect(outcome(signed({ region }), context)).to.equal('accepted')
        expect(context.signingKeys.size).to.be.at.most(3)
      }
    })
  })
})

async function countHashes(work: () => unknown): Promise<{ hash: number; hmac: number }> {
  const { hash = 0, createHmac: hmac = 0 } = await countCryptoCalls(work)
  return { hash, hmac }
}
