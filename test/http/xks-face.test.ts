import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { AdmissionLimit } from '../../src/http/admission-limit.ts'
import { XKS_ERRORS, XksError, type XksErrorName } from '../../src/xks/xks-error.ts'
import type { Draft } from '../sigv4/reference-signer.ts'
import {
  accessKeyIdOf,
  assertHead,
  CALLS,
  errorNameOf,
  REGION,
  readAnswer,
  secretOf,
  targetOf,
  XksFaceUnderTest,
} from './xks-face-under-test.ts'

const OPERATIONS = {
  metadata: 'GetKeyMetadata',
  encrypt: 'Encrypt',
  decrypt: 'Decrypt',
  health: 'GetHealthStatus',
} as const

const [BODY, OTHER_BODY] = [Buffer.from('{"a":1}'), Buffer.from('{"a":2}')]

describe('XKS face', () => {
  let face: XksFaceUnderTest

  beforeEach(async () => {
    face = await new XksFaceUnderTest().start()
  })
  afterEach(() => face.stop())

  describe('what the proxy is given', () => {
    for (const store of ['a', 'ab', 'none'] as const)
      for (const call of CALLS) {
        it(`XKS U-01: ${call} under the prefix of ${store}`, async () => {
          const body = Buffer.from('{"a":1}')
          const answer = await face.call(targetOf(call, store), { body })
          expect(answer).to.include({ status: 200, text: '{}' })
          expect(face.requests).to.have.lengthOf(1)
          expect(face.requests[0]).to.deep.include({
            operation: OPERATIONS[call],
            externalKeyId: call === 'health' ? undefined : 'key-1',
            region: REGION,
            contentType: 'application/json',
            contentEncoding: undefined,
            body,
          })
          expect(face.requests[0]?.store.name).to.equal(store)
          expect(face.observed).to.deep.equal([`${OPERATIONS[call]} ok`])
        })
      }

    it('XKS T-01: gives each answer its type, and our request id, which the journal has too', async () => {
      const answer = await face.call(targetOf('encrypt'))
      assertHead(answer)
      expect(answer.headers.get('x-hsm-bridge-request-id')).to.equal(
        face.records[0]?.facts.requestId,
      )
    })

    it('XKS T-01: leaves it to the proxy what it thinks of missing, repeated and other types', async () => {
      const given = async (...headers: [string, string][]) => {
        const signed = [
          ['Host', 'xks.example.com'],
          ['X-Amz-Date', '20150830T123600Z'],
        ] as [string, string][]
        const changes = { headers: [...signed, ...headers], signedNames: ['host', 'x-amz-date'] }
        expect((await face.call(targetOf('encrypt'), changes)).status).to.equal(200)
        const { contentType, contentEncoding } = face.requests.at(-1) ?? expect.fail('no request')
        return [contentType, contentEncoding]
      }
      expect(await given()).to.deep.equal([undefined, undefined])
      const [one, other] = [
        ['Content-Type', 'application/json'],
        ['content-type', 'text/plain'],
      ] as [string, string][]
      expect(await given(one as [string, string], other as [string, string])).to.deep.equal([
        'repeated',
        undefined,
      ])
      expect(await given(['CONTENT-ENCODING', 'gzip'])).to.deep.equal([undefined, 'gzip'])
    })
  })

  describe('paths and methods', () => {
    const PATHS = [
      ['XKS U-01: no operation', '/a/kms/xks/v1/keys/key-1'],
      ['XKS U-01: the root', '/'],
      ['XKS U-11: another version', '/a/kms/xks/v2/health'],
      ['XKS U-10: an unknown prefix', '/b/kms/xks/v1/health'],
      ['XKS U-06: a percent sign in the key id', '/a/kms/xks/v1/keys/k%41/encrypt'],
      ['XKS U-06: a key id of 129', `/a/kms/xks/v1/keys/${'k'.repeat(129)}/encrypt`],
      ['XKS U-07: two dots for a key id', '/a/kms/xks/v1/keys/../encrypt'],
      ['XKS H-14: the health of the ops port', '/readyz'],
      ['XKS H-14: metrics', '/metrics'],
      ['XKS U-12: a query', '/a/kms/xks/v1/health?a=b'],
      ['XKS U-12: an empty query', '/a/kms/xks/v1/health?'],
      ['XKS U-03: a target of 257', `/a/kms/xks/v1/keys/${'k'.repeat(230)}/encrypt`],
      ['XKS U-03: a target of 12,000', `/${'a'.repeat(12_000)}`],
    ] as const
    for (const [what, target] of PATHS) {
      it(`${what} is InvalidUriPathException`, async () => {
        const answer = await face.call(target)
        expect(answer.status).to.equal(404)
        expect(errorNameOf(answer)).to.equal('InvalidUriPathException')
        expect(face.requests).to.deep.equal([])
        expect(face.records).to.deep.equal([])
      })
    }

    const TRICKS = [
      '//a/kms/xks/v1/health',
      '/a//kms/xks/v1/health',
      '/./a/kms/xks/v1/health',
      '/b/../a/kms/xks/v1/health',
      '/%61/kms/xks/v1/health',
      '/a%2Fkms/xks/v1/health',
      '/a%2fb/kms/xks/v1/health',
      '/a/kms/xks/v1/health/',
      '/a/kms/xks/v1/health;x',
      '/A/kms/xks/v1/health',
      '/a/KMS/xks/v1/health',
      '/a/kms/xks/v1/Health',
      '/%C3%A4/kms/xks/v1/health',
      'http://xks.example.com/a/kms/xks/v1/health',
      '*',
      '/a/kms/xks/v1/keys/kms/xks/v1/health/encrypt',
      '/a/kms/xks/v1/keys/a/kms/xks/v1/keys/key-1/encrypt',
    ]
    for (const target of TRICKS) {
      it(`AT-S18: ${target} is no path`, async () => {
        const answer = await face.call(target)
        expect(answer.status).to.equal(404)
        expect(errorNameOf(answer)).to.equal('InvalidUriPathException')
        expect(face.requests).to.deep.equal([])
      })
    }

    it('AT-S18: a prefix that begins another’s is not taken for it', async () => {
      await face.call(targetOf('health', 'a'))
      await face.call(targetOf('health', 'ab'))
      expect(face.requests.map(({ store }) => store.name)).to.deep.equal(['a', 'ab'])
    })

    for (const method of ['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'])
      for (const call of CALLS) {
        it(`XKS T-07: ${method} ${call} is 405, whoever signed it`, async () => {
          for (const secret of [secretOf('a'), 'wrong']) {
            const answer = await face.call(targetOf(call), { method, secret })
            expect(answer.status).to.equal(405)
            expect(answer.headers.get('allow')).to.equal('POST')
            expect(errorNameOf(answer)).to.equal('ValidationException')
          }
          expect(face.requests).to.deep.equal([])
        })
      }

    it('XKS T-07: HEAD is 405 with the head of such an answer alone', async () => {
      const closing = (head: string) => head.replace('\r\n', '\r\nConnection: close\r\n')
      const bytes = face.sign(
        targetOf('health'),
        { method: 'HEAD', body: Buffer.alloc(0) },
        closing,
      )
      const answer = await face.rawToEnd(bytes)
      expect(answer).to.include({ status: 405, text: '' })
      expect(answer.headers.get('allow')).to.equal('POST')
      assertHead(answer)
    })

    it('AT-S30: a header that names another method changes nothing', async () => {
      const override = (head: string) =>
        head.replace('\r\n', '\r\nX-HTTP-Method-Override: POST\r\n')
      expect((await face.call(targetOf('health'), { method: 'GET' }, override)).status).to.equal(
        405,
      )
    })

    it('AT-S30: a path that does not exist is not found by any method', async () => {
      expect((await face.call('/a', { method: 'GET' })).status).to.equal(404)
    })
  })

  describe('bodies', () => {
    it('takes 128 KiB', async () => {
      const body = Buffer.alloc(128 * 1024, ' ')
      expect((await face.call(targetOf('encrypt'), { body })).status).to.equal(200)
      expect(face.requests[0]?.body).to.have.lengthOf(body.length)
    })

    for (const bytes of [128 * 1024 + 1, 1024 * 1024]) {
      it(`AT-H04: answers 413 to ${bytes} bytes, before it looks at the signature`, async () => {
        const answer = await face.call(targetOf('encrypt'), {
          body: Buffer.alloc(bytes),
          secret: 'wrong',
        })
        expect(answer.status).to.equal(413)
        expect(errorNameOf(answer)).to.equal('ValidationException')
        expect(answer.headers.get('connection')).to.equal('close')
      })
    }

    it('AT-H04: answers 413 to a length of 1 GiB without waiting for it', async () => {
      const head = `POST ${targetOf('encrypt')} HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n`
      const answer = await face.rawToEnd(head)
      expect(answer.status).to.equal(413)
      expect(errorNameOf(answer)).to.equal('ValidationException')
    })

    it('AT-H04: answers 413 to chunks without end', async () => {
      const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`
      const head = `POST ${targetOf('encrypt')} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`
      const answer = await face.raw(head + chunk.repeat(40))
      expect(answer.status).to.equal(413)
      expect(errorNameOf(answer)).to.equal('ValidationException')
    })

    it('AT-H18: refuses what the bodies of strangers leave no memory for, and closes', async () => {
      const small = await new XksFaceUnderTest({ unauthenticatedBytes: 100_000 }).start()
      const head = (bytes: number) =>
        `POST ${targetOf('encrypt')} HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes}\r\n\r\n`
      const stranger = connect(small.port, '127.0.0.1')
      try {
        stranger.write(head(100_000) + 'x'.repeat(90_000))
        const body = Buffer.alloc(20_000, ' ')
        while ((await small.call(targetOf('encrypt'), { body })).status !== 429) await pause(5)
        const answer = await small.rawToEnd(small.sign(targetOf('encrypt'), { body }))
        expect(answer.status).to.equal(429)
        expect(errorNameOf(answer)).to.equal('ThrottlingException')
        expect(answer.headers.get('connection')).to.equal('close')
        expect((await small.call(targetOf('encrypt'))).status).to.equal(200)
        stranger.write('x'.repeat(10_000))
        expect((await readAnswer(stranger)).status).to.equal(401)
        expect((await small.call(targetOf('encrypt'), { body })).status).to.equal(200)
      } finally {
        stranger.destroy()
        await small.stop()
      }
    })

    it('AT-K09: wipes the body whatever became of the request', async () => {
      const kept: Buffer[] = []
      face.perform = async ({ body }) => {
        kept.push(body)
        if (kept.length === 2) throw new XksError('InvalidStateException')
        return '{}'
      }
      for (const length of [40, 40, 120_000]) {
        await face.call(targetOf('encrypt'), { body: Buffer.alloc(length, 'p') })
      }
      expect(kept).to.have.lengthOf(3)
      for (const body of kept) expect(body.every((byte) => byte === 0)).to.equal(true)
    })
  })

  describe('signatures', () => {
    it('XKS A-01: each call needs one', async () => {
      for (const call of CALLS) {
        const head = `POST ${targetOf(call)} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}`
        const answer = await face.raw(head)
        expect(answer.status).to.equal(401)
        expect(errorNameOf(answer)).to.equal('AuthenticationFailedException')
      }
    })

    type Bad = readonly [what: string, changes: Partial<Draft>, spoil?: (head: string) => string]
    const replaceIn =
      (pattern: RegExp | string, by: string) =>
      (head: string): string =>
        head.replace(pattern, by)
    const twice = (name: string, inFront: boolean) => (head: string) => {
      const line = new RegExp(`${name}: [^\r]*\r\n`, 'i').exec(head)?.[0] ?? expect.fail(name)
      const other = `${name}: other\r\n`
      return head.replace(line, inFront ? other + line : line + other)
    }
    const dated = (amzDate: string): Partial<Draft> => ({ amzDate })
    const BAD: readonly Bad[] = [
      ['AT-S01: no authorization', {}, replaceIn(/Authorization: .*\r\n/, '')],
      ['AT-S02: SHA-1', { algorithm: 'AWS4-HMAC-SHA1' }],
      ['AT-S02: ECDSA', { algorithm: 'AWS4-ECDSA-P256-SHA256' }],
      ['AT-S02: Basic', {}, replaceIn(/Authorization: .*/, 'Authorization: Basic YTpi')],
      ['AT-S02: Bearer', {}, replaceIn(/Authorization: .*/, 'Authorization: Bearer a.b.c')],
      ['XKS A-02, AT-S03: the service kms', { service: 'kms' }],
      ['AT-S04: another region', { region: 'us-east-2' }],
      ['AT-S05: another date in the scope', { date: '20150829' }],
      ['AT-S06: another terminator', { terminator: 'aws4_requestx' }],
      ['AT-S08: a date of RFC 2822', dated('Sun, 30 Aug 2015 12:36:00 GMT')],
      ['AT-S08: milliseconds', dated('20150830T123600.000Z')],
      ['AT-S08: lower case', dated('20150830t123600z')],
      ['AT-S08: 31 February', dated('20150231T123600Z')],
      ['AT-S08: the year 9999', dated('99990830T123600Z')],
      ['AT-S09: Date in place of X-Amz-Date', {}, replaceIn('X-Amz-Date:', 'Date:')],
      ['AT-S10: host unsigned', { signedNames: ['content-type', 'x-amz-date'] }],
      ['AT-S11: date unsigned', { signedNames: ['content-type', 'host'] }],
      ['AT-S12: unsorted', { signedNames: ['host', 'content-type', 'x-amz-date'] }],
      ['AT-S12: a name twice', { signedNames: ['host', 'host', 'x-amz-date'] }],
      ['AT-S12: upper case', { signedNames: ['Host', 'x-amz-date'] }],
      ['AT-S12: none', { signedNames: [] }],
      ['AT-S12: an absent header', { signedNames: ['host', 'x-absent', 'x-amz-date'] }],
      [
        'AT-S12: 1,000 names',
        { signedNames: Array.from({ length: 1000 }, (_, i) => `x-${i}`).concat('host') },
      ],
      ['AT-S13: a second host behind', {}, twice('Host', false)],
      ['AT-S13: a second host in front', {}, twice('Host', true)],
      ['AT-S13: a second date', {}, twice('X-Amz-Date', false)],
      ['AT-S14: another body', { body: Buffer.from('{ }'), signedBody: Buffer.from('{}') }],
      ['AT-S14: a longer body', { body: Buffer.from('{} '), signedBody: Buffer.from('{}') }],
      ['AT-S14: no body', { body: Buffer.alloc(0), signedBody: Buffer.from('{}') }],
      ['AT-S14: a bit flipped', { body: Buffer.from('{|'), signedBody: Buffer.from('{}') }],
      ['AT-S14: a byte cut off', { body: Buffer.from('{'), signedBody: Buffer.from('{}') }],
      ['AT-S14: the body of another signed request', { body: BODY, signedBody: OTHER_BODY }],
      ['AT-S15: a form that is signed as a query', form({ canonicalQuery: 'A=1' })],
      ['AT-S16: an unsigned payload', stated('UNSIGNED-PAYLOAD')],
      ['AT-S16: a streaming payload', stated('STREAMING-AWS4-HMAC-SHA256-PAYLOAD')],
      ['AT-S16: another hash', stated('0'.repeat(64))],
      ['AT-S19: an upper-case signature', {}, (head) => upperSignature(head)],
      ['AT-S19: a short signature', {}, replaceIn(/(Signature=[0-9a-f]{63})./, '$1')],
      ['AT-S19: a long signature', {}, replaceIn(/(Signature=[0-9a-f]{64})/, '$10')],
      ['AT-S19: a space in the signature', {}, replaceIn(/(Signature=.{9})/, '$1 ')],
      ['AT-S19: a space behind Signature=', {}, replaceIn('Signature=', 'Signature= ')],
      ['AT-S20: a second authorization in front', {}, twice('Authorization', true)],
      ['AT-S20: a second authorization behind', {}, twice('Authorization', false)],
      ['AT-S21: the credential of another store', ofStore('ab')],
      ['AT-S22: the id of one store with the secret of another', { secret: secretOf('ab') }],
      ['AT-S22: nobody’s id', { accessKeyId: 'AKIDNOBODYNOBODYNOBODY' }],
      [
        'AT-S28: an unsigned session token',
        {},
        replaceIn('\r\n', '\r\nX-Amz-Security-Token: abc\r\n'),
      ],
    ]
    for (const [what, changes, spoil] of BAD) {
      it(`${what} is AuthenticationFailedException in one text`, async () => {
        const answer = await face.call(targetOf('encrypt'), changes, spoil)
        expect(answer.status).to.equal(401)
        expect(errorNameOf(answer)).to.equal('AuthenticationFailedException')
        const expired = what.includes('the year')
        if (!expired) {
          expect(JSON.parse(answer.text).errorMessage).to.equal(
            XKS_ERRORS.AuthenticationFailedException.message,
          )
        }
        expect(face.requests).to.deep.equal([])
        expect(face.records).to.deep.equal([])
        assertTellsNothing(answer.text)
      })
    }

    /** AT-S26. */
    function assertTellsNothing(text: string): void {
      const told = text + JSON.stringify([face.logged, face.records, face.observed])
      for (const secret of face.secrets) expect(told).not.to.contain(secret)
    }

    it('XKS A-17, AT-S26: tells no signature when everything goes well, or wrong', async () => {
      face.perform = () => Promise.reject(new TypeError('odd'))
      const answer = await face.call(targetOf('encrypt'))
      expect(answer.status).to.equal(500)
      assertTellsNothing(answer.text)
    })

    it('AT-S15: a form that is signed as it is comes to the proxy with its type', async () => {
      const answer = await face.call(targetOf('encrypt'), form({ signedBody: Buffer.from('A=1') }))
      expect(answer.status).to.equal(200)
      expect(face.requests[0]?.contentType).to.equal('application/x-www-form-urlencoded')
    })

    for (const [what, value, status] of [
      ['runs of spaces and tabs', ' a \t  b  ', 200],
      ['none but white space', '  ', 401],
      ['folded over two lines', 'a\r\n b', 400],
    ] as const)
      it(`AT-S29: a signed header whose value is ${what} is ${status}`, async () => {
        const headers: Draft['headers'] = [
          ['Host', 'xks.example.com'],
          ['X-Amz-Date', '20150830T123600Z'],
          ['X-More', 'a b'],
        ]
        const signedNames = ['host', 'x-amz-date', 'x-more']
        const spoil = (head: string) => head.replace('X-More: a b', `X-More: ${value}`)
        const answer = await face.call(targetOf('health'), { headers, signedNames }, spoil)
        expect(answer.status).to.equal(status)
      })

    for (const [seconds, status] of [
      [-299, 200],
      [-300, 200],
      [-301, 401],
      [299, 200],
      [300, 200],
      [301, 401],
    ] as const) {
      it(`XKS A-10, AT-S07: a clock ${seconds} s off is ${status}`, async () => {
        face.nowMs += seconds * 1000
        const answer = await face.call(targetOf('health'))
        expect(answer.status).to.equal(status)
        if (status === 200) return
        expect(errorNameOf(answer)).to.equal('AuthenticationFailedException')
        expect(JSON.parse(answer.text).errorMessage).to.match(
          seconds > 0 ? /five minutes behind the clock/ : /five minutes ahead of the clock/,
        )
      })
    }

    it('AT-S17: a presigned URL is no path at all', async () => {
      const answer = await face.call(`${targetOf('health')}?X-Amz-Signature=x&X-Amz-Credential=y`)
      expect(answer.status).to.equal(404)
      expect(errorNameOf(answer)).to.equal('InvalidUriPathException')
    })

    it('AT-S28: a session token that is signed does no harm', async () => {
      const changes: Partial<Draft> = {
        headers: [
          ['Host', 'xks.example.com'],
          ['X-Amz-Date', '20150830T123600Z'],
          ['X-Amz-Security-Token', 'abc'],
        ],
        signedNames: ['host', 'x-amz-date', 'x-amz-security-token'],
      }
      expect((await face.call(targetOf('health'), changes)).status).to.equal(200)
    })

    it('AT-S24: a request that is repeated is taken for five minutes', async () => {
      const bytes = face.sign(targetOf('health'))
      expect((await face.raw(bytes)).status).to.equal(200)
      face.nowMs += 300_000
      expect((await face.raw(bytes)).status).to.equal(200)
      face.nowMs += 1_000
      expect((await face.raw(bytes)).status).to.equal(401)
      expect(face.records).to.have.lengthOf(2)
      expect(face.replays).to.deep.equal(['a'])
    })

    it('AT-S24: a request that is repeated is counted, and told of once a second', async () => {
      const [one, two] = [face.sign(targetOf('encrypt')), face.sign(targetOf('encrypt', 'ab'))]
      for (const bytes of [one, two]) expect((await face.raw(bytes)).status).to.equal(200)
      expect([face.replays, face.logged]).to.deep.equal([[], []])
      for (const bytes of [one, two, two]) expect((await face.raw(bytes)).status).to.equal(200)
      face.uptimeMs = 1000
      await face.raw(one)
      expect(face.replays).to.deep.equal(['a', 'ab', 'ab', 'a'])
      const row = (keptBack: number, record: number) => ({
        message: 'signed request repeated',
        store: 'a',
        accessKeyId: accessKeyIdOf('a'),
        requestId: face.records[record]?.facts.requestId,
        sourceIp: '127.0.0.1',
        mode: 'count',
        keptBack,
      })
      expect(face.logged).to.deep.equal([row(0, 2), row(2, 5)])
    })

    it('AT-S24: what is refused has not been seen: a stranger cannot use up a signature', async () => {
      const good = face.sign(targetOf('encrypt'))
      const other = Buffer.from(good)
      other[other.length - 1] = 0x20
      for (let i = 0; i < 2; i++) expect((await face.raw(other)).status).to.equal(401)
      expect((await face.raw(good)).status).to.equal(200)
      expect(face.replays).to.deep.equal([])
    })

    it('AT-S24: where replays are rejected, one signature opens once, also when the proxy failed', async () => {
      const strict = await new XksFaceUnderTest({ replays: 'reject' }).start()
      try {
        const bytes = strict.sign(targetOf('encrypt'))
        strict.perform = () => Promise.reject(new XksError('DependencyTimeoutException'))
        expect((await strict.raw(bytes)).status).to.equal(503)
        const again = await strict.raw(bytes)
        expect(again.status).to.equal(401)
        expect(errorNameOf(again)).to.equal('AuthenticationFailedException')
        expect(again.headers.get('connection')).to.equal('close')
        expect(strict.replays).to.deep.equal(['a'])
        expect(strict.logged).to.have.lengthOf(2)
        expect(strict.logged[1]).to.include({ message: 'signed request repeated', mode: 'reject' })
        strict.perform = async () => '{}'
        expect((await strict.call(targetOf('decrypt'))).status).to.equal(200)
        expect([strict.requests.length, strict.records.length]).to.deep.equal([2, 2])
      } finally {
        await strict.stop()
      }
    })

    it('XKS A-14, AT-S25: a request signed before midnight is taken after it', async () => {
      const amzDate = '20150830T235958Z'
      face.nowMs = Date.UTC(2015, 7, 31, 0, 0, 1)
      expect((await face.call(targetOf('health'), { amzDate })).status).to.equal(200)
      const next = { amzDate: '20150831T000001Z' }
      expect((await face.call(targetOf('health'), next)).status).to.equal(200)
    })

    it('XKS A-07, XKS A-08: a second credential comes and the first goes while requests run', async () => {
      const second = { accessKeyId: 'AKIDSECONDSECONDSECOND', secret: 'second'.padEnd(43, '0') }
      const status = async (changes: Partial<Draft>) =>
        (await face.call(targetOf('encrypt'), changes)).status
      expect(await status(second)).to.equal(401)
      face.directory.addCredential('a', second.accessKeyId, second.secret)
      expect([await status(second), await status({})]).to.deep.equal([200, 200])
      face.directory.removeCredential(accessKeyIdOf('a'))
      expect([await status(second), await status({})]).to.deep.equal([200, 401])
    })

    it('AT-S25: at midnight each day has its own key, whichever of them was used before', async () => {
      const status = async (changes: Partial<Draft>) =>
        (await face.call(targetOf('encrypt'), changes)).status
      const oldDay = { amzDate: '20150830T235958Z' }
      const newDay = { amzDate: '20150831T000001Z' }
      face.nowMs = Date.UTC(2015, 7, 30, 23, 59, 58)
      expect(await status(oldDay)).to.equal(200)
      face.nowMs = Date.UTC(2015, 7, 31, 0, 0, 1)
      for (const day of [newDay, oldDay, newDay, oldDay]) expect(await status(day)).to.equal(200)
      for (const date of ['20150830', '20150901'])
        expect(await status({ ...newDay, date })).to.equal(401)
      face.nowMs = Date.UTC(2015, 7, 31, 0, 4, 59)
      expect(await status(oldDay)).to.equal(401)
      expect(await status({ amzDate: '20150831T000459Z' })).to.equal(200)
    })

    it('AT-S25: a changed secret under the same id is another key at once, and so is the old one that comes back', async () => {
      const accessKeyId = accessKeyIdOf('a')
      const [first, second] = [secretOf('a'), 'other'.padEnd(43, '0')]
      const statuses = async () => {
        const answers = []
        for (const secret of [first, second, first, second])
          answers.push(await face.call(targetOf('encrypt'), { secret }))
        return answers.map(({ status }) => status)
      }
      expect(await statuses()).to.deep.equal([200, 401, 200, 401])
      face.directory.addCredential('a', accessKeyId, second)
      expect(await statuses()).to.deep.equal([401, 200, 401, 200])
      face.directory.addCredential('a', accessKeyId, first)
      expect(await statuses()).to.deep.equal([200, 401, 200, 401])
      face.directory.removeCredential(accessKeyId)
      expect(await statuses()).to.deep.equal([401, 401, 401, 401])
    })

    it('XKS A-03: serves the regions of the store, as they are now', async () => {
      face.directory.changeStore('a', { regions: ['us-east-1', 'us-east-2'] })
      const status = async (region: string) =>
        (await face.call(targetOf('health'), { region })).status
      expect(await status('us-east-2')).to.equal(200)
      expect(await status(REGION)).to.equal(401)
      face.directory.changeStore('a', { regions: [] })
      expect(await status(REGION)).to.equal(200)
      expect(face.requests.at(-1)?.region).to.equal(REGION)
    })

    it('XKS A-13: no store opens to the credential of another', async () => {
      for (const store of ['a', 'ab', 'none'] as const)
        for (const signer of ['a', 'ab', 'none'] as const) {
          const changes = { accessKeyId: accessKeyIdOf(signer), secret: secretOf(signer) }
          const answer = await face.call(targetOf('encrypt', store), changes)
          expect(answer.status).to.equal(store === signer ? 200 : 401)
        }
    })

    it('tells the operator why, once a second, with the number of those kept back', async () => {
      for (let i = 0; i < 3; i++) await face.call(targetOf('encrypt'), { secret: 'wrong' })
      face.uptimeMs = 1000
      await face.call(targetOf('encrypt'), ofStore('ab'))
      expect(face.logged.map(({ store, reason, keptBack }) => [store, reason, keptBack]))
        .to.deep //
        .equal([
          ['a', 'MISMATCH', 0],
          ['a', 'UNKNOWN_KEY', 2],
        ])
    })
  })

  describe('quotas', () => {
    it('XKS U-09: a store over its quota is throttled, and no other store', async () => {
      face.directory.changeStore('a', { requestsPerSecond: 3 })
      const statuses = async (store: 'a' | 'ab', count: number) => {
        const answers = []
        for (let i = 0; i < count; i++) answers.push(await face.call(targetOf('encrypt', store)))
        return answers.map(({ status }) => status)
      }
      expect(await statuses('a', 5)).to.deep.equal([200, 200, 200, 429, 429])
      expect(await statuses('ab', 5)).to.deep.equal([200, 200, 200, 200, 200])
      face.uptimeMs = 1000
      expect(await statuses('a', 4)).to.deep.equal([200, 200, 200, 429])
    })

    it('XKS X-09: says so as ThrottlingException, in the journal too', async () => {
      face.directory.changeStore('a', { requestsPerSecond: 1 })
      await face.call(targetOf('encrypt'))
      expect(errorNameOf(await face.call(targetOf('encrypt')))).to.equal('ThrottlingException')
      expect(face.records.map(({ error }) => error?.code)).to.deep.equal([
        undefined,
        'ThrottlingException',
      ])
      expect(face.requests).to.have.lengthOf(1)
    })

    it('a change of the store does not fill its bucket, a change of the quota does', async () => {
      face.directory.changeStore('a', { requestsPerSecond: 1 })
      const status = async () => (await face.call(targetOf('encrypt'))).status
      expect([await status(), await status()]).to.deep.equal([200, 429])
      face.directory.changeStore('a', { requestsPerSecond: 1, enabled: false })
      expect(await status()).to.equal(429)
      face.directory.changeStore('a', { requestsPerSecond: 2 })
      expect(await status()).to.equal(200)
    })

    it('strangers take nothing out of it, and health counts for nothing', async () => {
      face.directory.changeStore('a', { requestsPerSecond: 1 })
      await face.call(targetOf('encrypt'), { secret: 'wrong' })
      for (let i = 0; i < 3; i++) {
        expect((await face.call(targetOf('health'))).status).to.equal(200)
      }
      expect((await face.call(targetOf('encrypt'))).status).to.equal(200)
      expect((await face.call(targetOf('encrypt'))).status).to.equal(429)
      expect((await face.call(targetOf('health'))).status).to.equal(200)
    })
  })

  describe('overload', () => {
    it('XKS X-09: refuses whoever finds no place at the tokens, and lets in who comes after', async () => {
      const admission = new AdmissionLimit(() => 0, { fewest: 1, most: 2 })
      const full = await new XksFaceUnderTest({ admission }).start()
      try {
        const gate = Promise.withResolvers<void>()
        full.perform = async (request) => {
          if (request.operation === 'GetHealthStatus') return '{}'
          request.admit?.()
          await gate.promise
          return '{}'
        }
        const inside = [full.call(targetOf('encrypt')), full.call(targetOf('decrypt'))]
        while (admission.inside < 2) await new Promise(setImmediate)
        const answer = await full.call(targetOf('encrypt', 'ab'))
        expect(answer.status).to.equal(429)
        expect(errorNameOf(answer)).to.equal('ThrottlingException')
        expect((await full.call(targetOf('health'))).status).to.equal(200)
        gate.resolve()
        expect((await Promise.all(inside)).map(({ status }) => status)).to.deep.equal([200, 200])
        expect(admission.inside).to.equal(0)
        expect((await full.call(targetOf('encrypt'))).status).to.equal(200)
      } finally {
        await full.stop()
      }
    })

    it('XKS X-09, XKS X-11: a place is taken until the token is done, also when the answer was late', async () => {
      const admission = new AdmissionLimit(() => 0, { fewest: 1, most: 1 })
      const full = await new XksFaceUnderTest({ admission }).start()
      try {
        for (const settle of ['resolve', 'reject'] as const) {
          const work = Promise.withResolvers<string>()
          full.perform = async (request) => {
            request.admit?.()
            request.goesOn?.(work.promise)
            throw new XksError('DependencyTimeoutException')
          }
          expect((await full.call(targetOf('encrypt'))).status).to.equal(503)
          expect(admission.inside).to.equal(1)
          expect((await full.call(targetOf('encrypt'))).status).to.equal(429)
          work[settle]('done')
          await new Promise(setImmediate)
          expect(admission.inside).to.equal(0)
        }
      } finally {
        await full.stop()
      }
    })

    it('a place is given back when the proxy throws', async () => {
      const admission = new AdmissionLimit(() => 0, { fewest: 1, most: 1 })
      const full = await new XksFaceUnderTest({ admission }).start()
      try {
        full.perform = async (request) => {
          request.admit?.()
          request.admit?.() // asking twice takes one place
          throw new XksError('InternalException')
        }
        for (let i = 0; i < 3; i++) {
          expect((await full.call(targetOf('encrypt'))).status).to.equal(500)
        }
        expect(admission.inside).to.equal(0)
      } finally {
        await full.stop()
      }
    })
  })

  describe('journal', () => {
    it('XKS L-04: has who, what, how long and how it ended', async () => {
      face.perform = async (_request, trail) => {
        trail.materialId = 'material'
        trail.decision = 'allowed'
        return '{}'
      }
      await face.call(targetOf('decrypt', 'ab', 'the.key'))
      const [entry] = face.records
      expect(entry).to.deep.include({
        operation: 'Decrypt',
        storeName: 'ab',
        externalKeyId: 'the.key',
        region: REGION,
        accessKeyId: accessKeyIdOf('ab'),
      })
      expect(entry?.trail).to.include({ materialId: 'material', decision: 'allowed' })
      expect(entry?.facts).to.include({ sourceIp: '127.0.0.1', receivedAt: face.nowMs })
      expect(entry?.processingMicroseconds).to.be.within(1, 5_000_000)
      expect(entry).not.to.have.property('error')
    })

    it('XKS Z-03: keeps what the proxy left in the trail also when it refuses', async () => {
      face.perform = async (_request, trail) => {
        trail.decision = 'denied: statement 3'
        throw new XksError('AccessDeniedException', 'not you')
      }
      await face.call(targetOf('encrypt'))
      expect(face.records[0]?.trail.decision).to.equal('denied: statement 3')
      expect(face.records[0]?.error).to.deep.equal({
        code: 'AccessDeniedException',
        message: 'not you',
      })
    })

    it('XKS X-11: work that outlives its answer writes nothing into the record', async () => {
      const metadata = { kmsRequestId: 'first' }
      let late = (): void => undefined
      face.perform = async (_request, trail) => {
        trail.materialId = 'material'
        trail.requestMetadata = metadata
        late = () => {
          trail.materialId = 'other'
          metadata.kmsRequestId = 'other'
        }
        throw new XksError('DependencyTimeoutException')
      }
      face.record = async () => late()
      await face.call(targetOf('decrypt'))
      expect(face.records[0]?.trail).to.deep.include({
        materialId: 'material',
        requestMetadata: { kmsRequestId: 'first' },
      })
    })

    it('ARCH-D14: when the record of a failure fails too, the log has both', async () => {
      const [cause, recordError] = [new TypeError('row 17 is odd'), new Error('spool is full')]
      face.perform = () => Promise.reject(cause)
      face.record = () => Promise.reject(recordError)
      expect((await face.call(targetOf('decrypt'))).status).to.equal(500)
      expect(face.logged[0]).to.include({ error: cause, recordError })
    })

    it('ARCH-D14: the answer waits for the record', async () => {
      const recording = Promise.withResolvers<void>()
      const written = Promise.withResolvers<void>()
      face.record = () => {
        recording.resolve()
        return written.promise
      }
      let answered = false
      const answer = face.call(targetOf('encrypt')).finally(() => (answered = true))
      await recording.promise
      await new Promise((resolve) => setTimeout(resolve, 20))
      expect(answered).to.equal(false)
      written.resolve()
      expect((await answer).status).to.equal(200)
    })

    it('ARCH-D14: without a record nothing of the reply leaves', async () => {
      face.perform = async () => '{"plaintext":"c2VjcmV0"}'
      face.record = () => Promise.reject(new Error('spool is full'))
      const answer = await face.call(targetOf('decrypt'))
      expect(answer.status).to.equal(500)
      expect(errorNameOf(answer)).to.equal('InternalException')
      expect(answer.text).not.to.contain('c2VjcmV0')
    })

    for (const [what, perform] of [
      ['what was made', async () => '{"plaintext":"c2VjcmV0"}'],
      ['a failure', () => Promise.reject(new XksError('InvalidStateException', 'c2VjcmV0'))],
    ] as const) {
      it(`XKS X-11, ARCH-D14: without its record in time ${what} stays here, and the record is waited for`, async () => {
        const impatient = await new XksFaceUnderTest({ recordedWithinMs: 30 }).start()
        const written = Promise.withResolvers<void>()
        impatient.perform = perform
        impatient.record = () => written.promise
        try {
          const answer = await impatient.call(targetOf('decrypt'))
          expect(answer.status).to.equal(503)
          expect(errorNameOf(answer)).to.equal('DependencyTimeoutException')
          expect(answer.text).not.to.contain('c2VjcmV0')
          expect(impatient.records).to.have.lengthOf(1)
          let idle = false
          const waiting = impatient.idle().then(() => (idle = true))
          await pause(5)
          expect(idle).to.equal(false)
          written.reject(new Error('spool is full'))
          await waiting
          expect(impatient.failures).to.have.lengthOf(2) // that it was late, and that it is lost
          expect(impatient.failures[1]).to.include({ code: 'RecordLost' })
        } finally {
          await impatient.stop()
        }
      })
    }

    it('FM-F48: is not idle before the record of a client that has gone is written', async () => {
      const recording = Promise.withResolvers<void>()
      const written = Promise.withResolvers<void>()
      face.record = () => {
        recording.resolve()
        return written.promise
      }
      void face.call(targetOf('encrypt')).catch(() => undefined)
      await recording.promise
      face.server.closeAllConnections()
      let idle = false
      const waiting = face.idle().then(() => (idle = true))
      await new Promise((resolve) => setTimeout(resolve, 20))
      expect(idle).to.equal(false)
      written.resolve()
      await waiting
    })
  })

  describe('errors of the proxy', () => {
    for (const name of Object.keys(XKS_ERRORS) as XksErrorName[]) {
      it(`XKS X-13: ${name} leaves with its status, its name and its text`, async () => {
        face.perform = () => Promise.reject(new XksError(name, 'the text'))
        const answer = await face.call(targetOf('decrypt'))
        expect(answer.status).to.equal(XKS_ERRORS[name].status)
        expect(JSON.parse(answer.text)).to.deep.equal({ errorName: name, errorMessage: 'the text' })
        assertHead(answer)
        expect(face.observed).to.deep.equal([`Decrypt ${name}`])
      })
    }

    it('XKS X-12: what nobody foresaw is InternalException with the id to ask for, and more in the log', async () => {
      const cause = new TypeError('row 17 is odd')
      face.perform = () => Promise.reject(cause)
      const answer = await face.call(targetOf('decrypt'))
      expect(answer.status).to.equal(500)
      expect(errorNameOf(answer)).to.equal('InternalException')
      expect(answer.text).to.contain(answer.headers.get('x-hsm-bridge-request-id'))
      expect(answer.text).not.to.contain('row 17')
      expect(face.logged[0]).to.include({ code: 'InternalException', error: cause })
    })

    it('logs an outage once a second', async () => {
      face.perform = () => Promise.reject(new XksError('InternalException'))
      for (let i = 0; i < 3; i++) await face.call(targetOf('decrypt'))
      face.uptimeMs = 1000
      await face.call(targetOf('decrypt'))
      expect(face.failures.map(({ keptBack }) => keptBack)).to.deep.equal([0, 2])
    })

    it('logs what is ours and nothing that callers do wrong', async () => {
      for (const name of Object.keys(XKS_ERRORS) as XksErrorName[]) {
        face.perform = () => Promise.reject(new XksError(name))
        await face.call(targetOf('decrypt'))
      }
      expect(face.failures.map(({ code }) => code)).to.deep.equal([
        'DependencyTimeoutException',
        'InternalException',
      ])
    })
  })
})

/** Signed as if its body were none, unless said otherwise. */
function form(changes: Partial<Draft>): Partial<Draft> {
  return {
    headers: [
      ['Host', 'xks.example.com'],
      ['Content-Type', 'application/x-www-form-urlencoded'],
      ['X-Amz-Date', '20150830T123600Z'],
    ],
    body: Buffer.from('A=1'),
    signedBody: Buffer.alloc(0),
    ...changes,
  }
}

function stated(hash: string): Partial<Draft> {
  return {
    headers: [
      ['Host', 'xks.example.com'],
      ['X-Amz-Content-SHA256', hash],
      ['X-Amz-Date', '20150830T123600Z'],
    ],
    signedNames: ['host', 'x-amz-content-sha256', 'x-amz-date'],
    statedHash: hash,
  }
}

function ofStore(name: 'ab'): Partial<Draft> {
  return { accessKeyId: accessKeyIdOf(name), secret: secretOf(name) }
}

function upperSignature(head: string): string {
  return head.replace(
    /Signature=[0-9a-f]{64}/,
    (found) => `Signature=${found.slice(10).toUpperCase()}`,
  )
}
