import type { ConnectionOptions, PeerCertificate } from 'node:tls'
import { describeAnswer } from '../answer.ts'
import { bytesOf } from '../attempt.ts'
import { assertGranted, assertHolds, assertRefused, assertStatus } from '../expectation.ts'
import { everyCase, NoAnswer, NotApplicable, nonconforming } from '../nonconformity.ts'
import { OPERATIONS, type ProxyUnderTest } from '../proxy-under-test.ts'
import type { Row, Section } from '../row.ts'
import { WireConnection } from '../wire-connection.ts'

const SUITES_1_3 = ['TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']
const SUITES_1_2 = ['ECDHE-RSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-AES256-GCM-SHA384']
const OTHER_SUITES_1_2 = [
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-RSA-AES256-SHA384',
  'DHE-RSA-AES256-GCM-SHA384',
  'AES256-GCM-SHA384',
  'AES128-SHA',
]
const OTHER_METHODS = ['PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'TRACE']

const rows: readonly Row[] = [
  {
    id: 'T-01',
    level: 'MUST',
    title: 'every answer, also every refusal, is Content-Type: application/json',
    last: true,
    run: async (proxy) => {
      await proxy.call('health')
      await proxy.call('health', { signing: null })
      await proxy.call('metadata', { keyId: proxy.absentKeyId() })
      const wrong = proxy.observations.filter(
        ({ answer: { headers, status }, method }) =>
          method !== 'HEAD' && status !== 204 && !isJson(headers.get('content-type')),
      )
      await everyCase(
        wrong.slice(0, 5).map((it) => [`${it.method} ${it.what}`, it.answer] as const),
        (answer) =>
          nonconforming(
            'Content-Type: application/json',
            `${answer.status} with ${answer.headers.get('content-type')?.join(' and ') ?? 'none'}`,
          ),
      )
    },
  },
  {
    id: 'T-01',
    level: 'ours',
    title: 'a request of another content type, of none, or of two is invalid',
    run: (proxy) =>
      everyCase(
        [
          ['text/plain', ['text/plain']],
          ['a form', ['application/x-www-form-urlencoded']],
          ['none', []],
          ['two', ['application/json', 'text/plain']],
        ] as const,
        async (contentType) =>
          assertRefused(await proxy.call('encrypt', { contentType }), 'ValidationException'),
      ),
  },
  {
    id: 'T-01',
    level: 'ours',
    title: 'a charset beside the content type does no harm',
    run: async (proxy) =>
      void assertGranted(
        await proxy.call('encrypt', { contentType: ['application/json; charset=utf-8'] }),
      ),
  },
  {
    id: 'T-01',
    level: 'ours',
    title: 'a body with a content encoding is invalid',
    run: (proxy) =>
      everyCase([['gzip', 'gzip'] as const, ['br', 'br'] as const], async (encoding) =>
        assertRefused(
          await proxy.call('encrypt', { headers: [['Content-Encoding', encoding]] }),
          'ValidationException',
        ),
      ),
  },
  {
    id: 'T-02',
    level: 'MUST',
    title: 'HTTP/1.1 is spoken with ALPN and without it',
    run: (proxy) =>
      everyCase(
        [
          ['http/1.1', ['http/1.1']],
          ['no ALPN', []],
        ] as const,
        async (protocols) => {
          const connection = await openTls(proxy, { ALPNProtocols: [...protocols] })
          await assertServes(proxy, connection)
        },
      ),
  },
  {
    id: 'T-03',
    level: 'MUST',
    title: 'TLS 1.2 or later, by one of the four suites of the specification',
    run: async (proxy) => {
      assertTls(proxy)
      const accepted = [
        ...(await acceptedSuites(proxy, SUITES_1_2, 'TLSv1.2')),
        ...(await acceptedSuites(proxy, SUITES_1_3, 'TLSv1.3')),
      ]
      assertHolds(accepted.length > 0, 'one of the four suites', 'none of them')
    },
  },
  {
    id: 'T-03',
    level: 'MUST',
    title: 'TLS 1.0 and 1.1 are refused',
    run: (proxy) =>
      everyCase([['TLS 1.0', 'TLSv1'] as const, ['TLS 1.1', 'TLSv1.1'] as const], (version) =>
        assertHandshakeRefused(proxy, {
          minVersion: version,
          maxVersion: version,
          ciphers: 'DEFAULT:@SECLEVEL=0',
        }),
      ),
  },
  {
    id: 'T-03',
    level: 'ours',
    title: 'no other suite is accepted',
    run: async (proxy) => {
      assertTls(proxy)
      const accepted = [
        ...(await acceptedSuites(proxy, OTHER_SUITES_1_2, 'TLSv1.2')),
        ...(await acceptedSuites(proxy, ['TLS_AES_128_GCM_SHA256'], 'TLSv1.3')),
      ]
      assertHolds(accepted.length === 0, 'the four suites and no other', accepted.join(', '))
    },
  },
  {
    id: 'T-04',
    level: 'MUST',
    title: 'plain HTTP on the TLS port is not served',
    run: async (proxy) => {
      assertTls(proxy)
      const connection = await WireConnection.open(proxy.target, false)
      const { bytes } = bytesOf(await proxy.prepare('health'))
      const status = await connection.exchange(bytes).then((it) => it.status, noAnswer)
      connection.close()
      assertHolds(status === undefined || status >= 400, 'no answer, or a refusal', `${status}`)
    },
  },
  {
    id: 'T-05',
    level: 'MUST',
    title: 'the certificate is for this host and leads to a trusted CA',
    run: async (proxy) => (await openTls(proxy, { rejectUnauthorized: true })).close(),
  },
  {
    id: 'T-06',
    level: 'SHOULD',
    title: 'the certificate’s common name is the host too, not only its alternative names',
    run: async (proxy) => {
      const connection = await openTls(proxy)
      const name = commonName(connection.tls?.getPeerCertificate())
      connection.close()
      const { hostname } = proxy.target.url
      assertHolds(
        name === hostname || (name.startsWith('*.') && hostname.endsWith(name.slice(1))),
        `CN=${hostname}`,
        `CN=${name}`,
      )
    },
  },
  {
    id: 'T-07',
    level: 'MUST',
    title: 'GET is answered with 405 on each of the four URIs',
    run: (proxy) =>
      everyCase(
        OPERATIONS.map((it) => [it, it] as const),
        async (operation) =>
          assertStatus(await proxy.call(operation, { method: 'GET', body: '' }), 405),
      ),
  },
  {
    id: 'T-07',
    level: 'ours',
    title: 'every other method too, with Allow: POST, and before authentication',
    run: (proxy) =>
      everyCase(
        ['GET', ...OTHER_METHODS].map((it) => [it, it] as const),
        async (method) => {
          const answer = await proxy.call('health', { method, body: '', signing: null })
          if (method === 'HEAD') assertHolds(answer.status === 405, '405', String(answer.status))
          else assertStatus(answer, 405)
          assertHolds(answer.headers.get('allow')?.[0] === 'POST', 'Allow: POST', 'none')
        },
      ),
  },
  {
    id: 'T-10',
    level: 'MUST',
    title: 'where client certificates are wanted, a client without one is not served',
    run: async (proxy) => {
      if (proxy.target.tls.cert === undefined) throw new NotApplicable('--client-cert is not given')
      await assertHandshakeRefused(proxy, { cert: undefined, key: undefined })
    },
  },
  {
    id: 'T-10',
    level: 'MUST',
    title: 'nor one with the certificate of a stranger',
    run: async (proxy) =>
      assertHandshakeRefused(proxy, proxy.need('strangerTls', '--stranger-cert')),
  },
  {
    id: 'T-13',
    level: 'SHOULD',
    title: 'a connection stays open between requests',
    waits: true,
    run: async (proxy) => {
      const connection = await proxy.connect()
      const health = async () => connection.exchange(bytesOf(await proxy.prepare('health')).bytes)
      assertGranted(await health())
      await new Promise((resolve) => setTimeout(resolve, proxy.target.idleMs))
      assertGranted(await health())
      connection.close()
    },
  },
  {
    id: 'K-250',
    level: 'MUST',
    title: 'every answer is there within the 250 ms after which AWS KMS gives up',
    last: true,
    run: async (proxy) => {
      for (const operation of OPERATIONS) await proxy.call(operation)
      const slow = proxy.observations.filter(
        (it) => it.answer.milliseconds >= proxy.target.latestMs,
      )
      await everyCase(
        slow.slice(0, 5).map((it) => [`${it.method} ${it.what}`, it.answer] as const),
        (answer) =>
          nonconforming(
            `an answer within ${proxy.target.latestMs} ms`,
            `${describeAnswer(answer)} after ${Math.round(answer.milliseconds)} ms`,
          ),
      )
    },
  },
]

export const TRANSPORT: Section = { letter: 'T', name: 'transport', rows }

function isJson(contentType: readonly string[] | undefined): boolean {
  return contentType?.length === 1 && /^application\/json *(;|$)/i.test(contentType[0] ?? '')
}

function assertTls(proxy: ProxyUnderTest): void {
  if (!proxy.overTls) throw new NotApplicable('the endpoint is plain HTTP')
}

function openTls(proxy: ProxyUnderTest, options: ConnectionOptions = {}): Promise<WireConnection> {
  assertTls(proxy)
  return WireConnection.open({ url: proxy.target.url, tls: { ...proxy.target.tls, ...options } })
}

async function assertServes(proxy: ProxyUnderTest, connection: WireConnection): Promise<void> {
  const { bytes } = bytesOf(await proxy.prepare('health'))
  assertGranted(await connection.exchange(bytes))
  connection.close()
}

/** With TLS 1.3 a client learns only behind its first request that it was refused. */
async function assertHandshakeRefused(
  proxy: ProxyUnderTest,
  options: ConnectionOptions,
): Promise<void> {
  const answer = await openTls(proxy, options)
    .then(async (connection) => {
      const { bytes } = bytesOf(await proxy.prepare('health'))
      return await connection.exchange(bytes).finally(() => connection.close())
    })
    .catch(noAnswer)
  if (answer !== undefined) nonconforming('no connection', describeAnswer(answer))
}

async function acceptedSuites(
  proxy: ProxyUnderTest,
  suites: readonly string[],
  version: 'TLSv1.2' | 'TLSv1.3',
): Promise<string[]> {
  const accepted: string[] = []
  for (const ciphers of suites) {
    const options = { ciphers, minVersion: version, maxVersion: version } as const
    const connection = await openTls(proxy, options).catch(noAnswer)
    if (connection !== undefined) accepted.push(ciphers)
    connection?.close()
  }
  return accepted
}

function noAnswer(error: unknown): undefined {
  if (!(error instanceof NoAnswer)) throw error
}

function commonName(certificate: PeerCertificate | undefined): string {
  const name: unknown = certificate?.subject?.CN
  return typeof name === 'string' ? name : ''
}
