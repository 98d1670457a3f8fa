import { createHash } from 'node:crypto'
import { Sensitive } from '../../../bytes/sensitive.ts'
import { formatAmzDate } from '../../../sigv4/amz-date.ts'
import type { Answer } from '../answer.ts'
import { bytesOf, type Header, type Signing } from '../attempt.ts'
import { assertGranted, assertHolds, assertNotServed, assertRefused } from '../expectation.ts'
import { everyCase, NotApplicable } from '../nonconformity.ts'
import { type Changes, OPERATIONS, type ProxyUnderTest } from '../proxy-under-test.ts'
import type { Row, Section } from '../row.ts'

const DENIED = 'AuthenticationFailedException'
const DAY_MS = 86_400_000

const rows: readonly Row[] = [
  {
    id: 'A-01',
    level: 'MUST',
    title: 'every operation wants a signature, health too',
    run: (proxy) =>
      everyCase(
        OPERATIONS.map((it) => [it, it] as const),
        async (operation) => assertRefused(await proxy.call(operation, { signing: null }), DENIED),
      ),
  },
  {
    id: 'A-02',
    level: 'MUST',
    title: 'another algorithm, service or terminator is refused',
    run: (proxy) =>
      denied(proxy, [
        ['AWS4-HMAC-SHA1', { signing: { algorithm: 'AWS4-HMAC-SHA1' } }],
        ['AWS4-ECDSA-P256-SHA256', { signing: { algorithm: 'AWS4-ECDSA-P256-SHA256' } }],
        ['service kms', { signing: { service: 'kms' } }],
        ['terminator aws4_requestx', { signing: { terminator: 'aws4_requestx' } }],
        ['Basic', { signing: null, headers: [['Authorization', 'Basic YTpi']] }],
        ['Bearer', { signing: null, headers: [['Authorization', 'Bearer abc']] }],
      ]),
  },
  {
    id: 'A-03',
    level: 'SHOULD',
    title: 'a signature for another region is refused',
    run: (proxy) => denied(proxy, [['xx-nowhere-9', { signing: { region: 'xx-nowhere-9' } }]]),
  },
  {
    id: 'A-07',
    level: 'SHOULD',
    title: 'two credentials are valid at once',
    run: async (proxy) => {
      const second = proxy.need('secondCredential', '--second-credentials-file')
      await everyCase(
        [
          ['the first', proxy.target.credential],
          ['the second', second],
        ] as const,
        async (signing) => void assertGranted(await proxy.call('health', { signing })),
      )
    },
  },
  {
    id: 'A-09',
    level: 'MUST',
    title: 'X-Amz-Date is there, and is one, and is a date of SigV4',
    run: (proxy) => {
      const now = new Date()
      const basic = formatAmzDate(Math.floor(now.getTime() / 1000))
      return denied(proxy, [
        ['none', { signing: { amzDate: undefined, scopeDate: basic.slice(0, 8) } }],
        ['only Date', onlyDate(now)],
        ['empty', { signing: { amzDate: '' } }],
        ['of RFC 9110', { signing: { amzDate: now.toUTCString() } }],
        ['with dashes', { signing: { amzDate: now.toISOString() } }],
        ['with milliseconds', { signing: { amzDate: basic.replace('Z', '.000Z') } }],
        ['in lower case', { signing: { amzDate: basic.toLowerCase() } }],
        ['of 31 February', { signing: { amzDate: '20260231T000000Z', scopeDate: '20260231' } }],
        ['of the year 9999', { signing: { amzDate: '99991231T235959Z', scopeDate: '99991231' } }],
      ])
    },
  },
  {
    id: 'A-09',
    level: 'MUST',
    title: 'two values of X-Amz-Date are refused, whichever stands first',
    run: async (proxy) => {
      const stale = ['X-Amz-Date', formatAmzDate(Math.floor(Date.now() / 1000) - 60)] as const
      await denied(proxy, [
        ['the signed one first', { finish: (headers) => [...headers, stale] }],
        ['the signed one last', { finish: (headers) => [stale, ...headers] }],
      ])
    },
  },
  {
    id: 'A-10',
    level: 'SHOULD',
    title: 'a signature 299 s old, or 299 s early, is good',
    run: async (proxy) => {
      await assertClocksAgree(proxy)
      await everyCase(skews([-299, 299]), async (seconds) => {
        assertGranted(await withinOneSecond(() => proxy.call('health', signedAt(seconds))))
      })
    },
  },
  {
    id: 'A-10',
    level: 'SHOULD',
    title: 'a signature 301 s old, or 301 s early, is refused',
    run: async (proxy) => {
      await assertClocksAgree(proxy)
      await everyCase(skews([-301, 301, -DAY_MS / 1000, DAY_MS / 1000]), async (seconds) => {
        const answer = await withinOneSecond(() => proxy.call('health', signedAt(seconds)))
        assertRefused(answer, DENIED)
      })
    },
  },
  {
    id: 'A-11',
    level: 'MUST',
    title: 'Host and X-Amz-Date are signed',
    run: (proxy) =>
      denied(proxy, [
        ['Host is not', { signing: { signedHeaders: ['x-amz-date'] } }],
        ['X-Amz-Date is not', { signing: { signedHeaders: ['host'] } }],
        ['neither is', { signing: { signedHeaders: ['content-type'] } }],
        ['nothing is', { signing: { signedHeaders: [] } }],
      ]),
  },
  {
    id: 'A-11',
    level: 'MUST',
    title: 'more headers may be signed, and white space in them does not matter',
    run: async (proxy) => {
      const signedHeaders = ['content-type', 'host', 'x-amz-date', 'x-extra']
      const headers: Header[] = [['X-Extra', '  a   b  ']]
      assertGranted(await proxy.call('health', { headers, signing: { signedHeaders } }))
    },
  },
  {
    id: 'A-11',
    level: 'ours',
    title: 'SignedHeaders is sorted, in lower case, each once, and of headers that are there',
    run: (proxy) =>
      denied(proxy, [
        ['not sorted', { signing: { signedHeaders: ['x-amz-date', 'host'] } }],
        ['in upper case', { signing: { signedHeaders: ['Host', 'X-Amz-Date'] } }],
        ['host twice', { signing: { signedHeaders: ['host', 'host', 'x-amz-date'] } }],
        [
          'a header that is absent',
          { signing: { signedHeaders: ['absent', 'host', 'x-amz-date'] } },
        ],
      ]),
  },
  {
    id: 'A-11',
    level: 'ours',
    title: 'a second Host or Authorization is refused, whichever stands first',
    run: (proxy) => {
      const other: Header = ['Authorization', 'AWS4-HMAC-SHA256 Credential=a/b/c/d/e']
      return denied(proxy, [
        ['Authorization behind', { finish: (headers) => [...headers, other] }],
        ['Authorization before', { finish: (headers) => [other, ...headers] }],
        ['Host behind', { finish: (headers) => [...headers, ['Host', 'evil.example']] }],
      ])
    },
  },
  {
    id: 'A-12',
    level: 'MUST',
    title: 'the signature is over the bytes of the body',
    run: async (proxy) => {
      const { body } = await proxy.prepare('encrypt')
      const flipped = Buffer.from(
        body.toString('latin1').replace('requestMetadata', 'requestMetadatb'),
      )
      await everyCase(
        [
          ['two bits flipped', flipped],
          ['a space behind', Buffer.concat([body, Buffer.from(' ')])],
          ['a byte less', body.subarray(0, -1)],
          ['none', Buffer.alloc(0)],
          ['another one', (await proxy.prepare('encrypt')).body],
        ] as const,
        async (bodySent) => assertRefused(await proxy.call('encrypt', { body, bodySent }), DENIED),
      )
    },
  },
  {
    id: 'A-12',
    level: 'MUST',
    title: 'nobody chooses the hash of the body',
    run: (proxy) =>
      denied(proxy, [
        ['UNSIGNED-PAYLOAD', payload('UNSIGNED-PAYLOAD')],
        ['a stream', payload('STREAMING-AWS4-HMAC-SHA256-PAYLOAD')],
        ['of nothing', payload(createHash('sha256').digest('hex'))],
      ]),
  },
  {
    id: 'A-12',
    level: 'MUST',
    title: 'the signature is over the path',
    run: async (proxy) => {
      const signed = bytesOf(await proxy.prepare('metadata')).bytes.toString('latin1')
      const moved = signed.replace('/metadata ', '/encrypt ')
      assertRefused(await proxy.sendBytes(moved, 'POST', 'another path'), DENIED)
    },
  },
  {
    id: 'A-12',
    level: 'MUST',
    title: 'a signature is 64 digits of lower case, all of them right',
    run: (proxy) =>
      everyCase(
        [
          [
            'the first one wrong',
            (it) => (it.startsWith('0') ? `1${it.slice(1)}` : `0${it.slice(1)}`),
          ],
          ['the last one wrong', (it) => it.slice(0, -1) + (it.endsWith('0') ? '1' : '0')],
          ['one missing', (it) => it.slice(0, -1)],
          ['one more', (it) => `${it}0`],
          ['none', () => ''],
        ] as readonly (readonly [string, (signature: string) => string])[],
        async (change) =>
          assertRefused(await proxy.call('health', { finish: withSignature(change) }), DENIED),
      ),
  },
  {
    id: 'A-12',
    level: 'SHOULD',
    title: 'a presigned URL is no way in',
    run: async (proxy) => {
      const path = `${proxy.target.uriPathPrefix}/kms/xks/v1/health`
      const { signature = '' } = bytesOf(await proxy.prepare('health'))
      const target = `${path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=${signature}`
      assertNotServed(await proxy.call('health', { target, signing: null }))
    },
  },
  {
    id: 'A-13',
    level: 'MUST',
    title: 'the credential is not valid for another key store',
    run: async (proxy) => {
      const prefix = proxy.need('otherPrefix', '--other-prefix')
      await everyCase(
        OPERATIONS.map((it) => [it, it] as const),
        async (operation) => assertRefused(await proxy.call(operation, { prefix }), DENIED),
      )
    },
  },
  {
    id: 'A-14',
    level: 'MUST',
    title: 'the date of the credential is the day of X-Amz-Date',
    run: (proxy) => {
      const day = (offset: number) =>
        formatAmzDate(Math.floor((Date.now() + offset * DAY_MS) / 1000)).slice(0, 8)
      return denied(proxy, [
        ['the day before', { signing: { scopeDate: day(-1) } }],
        ['the day after', { signing: { scopeDate: day(1) } }],
      ])
    },
  },
  {
    id: 'A-15',
    level: 'MUST',
    title: 'an unknown access key, or a wrong secret, is refused',
    run: (proxy) => {
      const secret = proxy.target.credential.secretAccessKey.reveal()
      const other = new Sensitive(secret.replace(/.$/, (it) => (it === 'A' ? 'B' : 'A')))
      return denied(proxy, [
        ['access key', { signing: { accessKeyId: 'A'.repeat(20) } }],
        ['no access key', { signing: { accessKeyId: '' } }],
        ['secret', { signing: { secretAccessKey: other } }],
        ['no secret', { signing: { secretAccessKey: new Sensitive('') } }],
      ])
    },
  },
  {
    id: 'A-17',
    level: 'ours',
    title: 'a refusal does not tell the signature that would have been right',
    run: async (proxy) => {
      const attempt = await proxy.prepare('health')
      const { signature = '' } = bytesOf(attempt)
      const finish = withSignature(() => '0'.repeat(64))
      const answer = await proxy.send({ ...attempt, finish }, 'health')
      assertRefused(answer, DENIED)
      const said = [answer.body.toString('latin1'), ...[...answer.headers.values()].flat()]
      assertHolds(!said.join('\n').includes(signature), 'silence about it', 'the right signature')
    },
  },
]

export const AUTHENTICATION: Section = { letter: 'A', name: 'authentication', rows }

function denied(
  proxy: ProxyUnderTest,
  cases: readonly (readonly [name: string, changes: Changes])[],
): Promise<void> {
  return everyCase(cases, async (changes) =>
    assertRefused(await proxy.call('health', changes), DENIED),
  )
}

function onlyDate(now: Date): Changes {
  const signing: Partial<Signing> = { amzDate: undefined, signedHeaders: ['date', 'host'] }
  return { headers: [['Date', now.toUTCString()]], signing }
}

function payload(payloadHash: string): Changes {
  const signedHeaders = ['host', 'x-amz-content-sha256', 'x-amz-date']
  return {
    headers: [['X-Amz-Content-Sha256', payloadHash]],
    signing: { payloadHash, signedHeaders },
  }
}

function withSignature(change: (signature: string) => string) {
  return (headers: readonly Header[]): readonly Header[] =>
    headers.map(([name, value]) =>
      name === 'Authorization'
        ? [name, value.replace(/(?<=Signature=).*/, change)]
        : ([name, value] as const),
    )
}

function signedAt(secondsFromNow: number): Changes {
  const amzDate = formatAmzDate(Math.floor(Date.now() / 1000) + secondsFromNow)
  return { signing: { amzDate, scopeDate: amzDate.slice(0, 8) } }
}

function skews(seconds: readonly number[]): (readonly [string, number])[] {
  return seconds.map((it) => [`${it > 0 ? '+' : ''}${it} s`, it] as const)
}

/** Signatures have whole seconds: a request that is answered in the next one may have been verified in it. */
async function withinOneSecond(call: () => Promise<Answer>): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    const past = Date.now() % 1000
    if (past > 500) await new Promise((resolve) => setTimeout(resolve, 1_005 - past))
    const second = Math.floor(Date.now() / 1000)
    const answer = await call()
    if (Math.floor(Date.now() / 1000) === second || attempt === 5) return answer
  }
}

async function assertClocksAgree(proxy: ProxyUnderTest): Promise<void> {
  const { headers } = await proxy.call('health')
  const there = Date.parse(headers.get('date')?.[0] ?? '')
  const offMs = Math.abs(there - Date.now())
  if (offMs >= 2_000) throw new NotApplicable(`the clocks differ by ${Math.round(offMs / 1000)} s`)
}
