import { XKS_ERRORS } from '../../xks-error.ts'
import { type Answer, describeAnswer, membersOf } from '../answer.ts'
import { bytesOf } from '../attempt.ts'
import { assertGranted, assertNotInvalid, assertRefused } from '../expectation.ts'
import { everyCase, nonconforming } from '../nonconformity.ts'
import { OPERATIONS, type ProxyUnderTest } from '../proxy-under-test.ts'
import type { Row, Section } from '../row.ts'

/** The specification wants fewer than 512 characters, all printable ASCII. */
const MESSAGE = /^[ -~]{0,511}$/
const INVALID = 'ValidationException'
const MIB = 1024 * 1024

const rows: readonly Row[] = [
  {
    id: 'X-01',
    level: 'MUST',
    title: 'a body that is no JSON object is ValidationException, for every operation',
    run: (proxy) =>
      everyCase(
        OPERATIONS.flatMap((operation) =>
          NO_OBJECTS.map(([name, body]) => [`${operation}: ${name}`, { operation, body }] as const),
        ),
        async ({ operation, body }) =>
          assertRefused(await proxy.call(operation, { body }), INVALID),
      ),
  },
  {
    id: 'X-13',
    level: 'MUST',
    title:
      'an error has an errorName with its status, and at most 511 printable characters of message',
    last: true,
    run: async (proxy) => {
      await proxy.call('health', { signing: null })
      await proxy.call('encrypt', { keyId: proxy.absentKeyId() })
      await proxy.call('encrypt', { keyId: 'caf\xe9%0d%0a' })
      await proxy.call('encrypt', { members: { encryptionAlgorithm: 'é\r\n\u0000'.repeat(300) } })
      await proxy.call('encrypt', { members: { plaintext: '\u2028!'.repeat(600) } })
      const errors = proxy.observations.filter(
        ({ answer, method }) => answer.status !== 200 && method !== 'HEAD',
      )
      const wrong = errors.filter(({ answer }) => formFault(answer) !== undefined)
      await everyCase(
        wrong.slice(0, 8).map((it) => [`${it.method} ${it.what}`, it.answer] as const),
        (answer) => nonconforming(formFault(answer) ?? '', describeAnswer(answer)),
      )
    },
  },
  {
    id: 'X-14',
    level: 'ours',
    title: 'what is not HTTP is refused in JSON too',
    run: (proxy) =>
      everyCase(brokenRequests(proxy), async (bytes) => {
        const answer = await proxy.sendAlone(bytes)
        if (answer.status < 400 || errorNameOf(answer) === undefined)
          nonconforming('an error in JSON', describeAnswer(answer))
      }),
  },
  {
    id: 'X-14',
    level: 'ours',
    title: 'a body that would be too large is refused at once, in JSON',
    run: async (proxy) => {
      const attempt = await proxy.prepare('encrypt', { claimedLength: 1024 * MIB })
      const answer = await proxy.sendAlone(bytesOf(attempt).bytes)
      if (answer.status !== 413 || errorNameOf(answer) === undefined)
        nonconforming('413 with an errorName', describeAnswer(answer))
    },
  },
  {
    id: 'J-01',
    level: 'ours',
    title: 'a member that is there twice is invalid',
    run: (proxy) =>
      everyCase(
        [
          ['plaintext', (json) => json.replace('"plaintext":', '"plaintext":"eA==","plaintext":')],
          [
            'within',
            (json) => json.replace('"kmsOperation":', '"kmsOperation":"x","kmsOperation":'),
          ],
          ['by another spelling', (json) => json.replace('{', '{"plain\\u0074ext":"eA==",')],
        ] as readonly (readonly [string, (json: string) => string])[],
        async (change) => {
          const { body } = await proxy.prepare('encrypt')
          assertRefused(await proxy.call('encrypt', { body: change(body.toString()) }), INVALID)
        },
      ),
  },
  {
    id: 'J-02',
    level: 'MUST',
    title: 'members called __proto__, constructor and toString are only data',
    run: async (proxy) => {
      const { body } = await proxy.prepare('encrypt')
      const json = body.toString()
      const odd = `"constructor":{"prototype":{}},"toString":1,"hasOwnProperty":null`
      assertNotInvalid(await proxy.call('encrypt', { body: json.replace('{', `{${odd},`) }))
      const parent = JSON.stringify({ kmsOperation: 'Encrypt', kmsRequestId: 'x' })
      assertRefused(
        await proxy.call('encrypt', {
          body: `{"requestMetadata":{"__proto__":${parent}},"plaintext":"eA==","encryptionAlgorithm":"AES_GCM"}`,
        }),
        INVALID,
      )
      assertGranted(await proxy.call('encrypt'))
    },
  },
  {
    id: 'J-03',
    level: 'ours',
    title: 'a body of deep brackets is invalid, and costs no time',
    run: (proxy) =>
      everyCase(
        [100, 30_000].map((it) => [`${it} levels`, it] as const),
        async (levels) => {
          const deep = '['.repeat(levels) + ']'.repeat(levels)
          const { body } = await proxy.prepare('encrypt')
          const answer = await proxy.call('encrypt', {
            body: body.toString().replace('{', `{"future":${deep},`),
          })
          assertRefused(answer, INVALID)
        },
      ),
  },
  {
    id: 'J-05',
    level: 'ours',
    title: 'a body is UTF-8 without a byte order mark',
    run: async (proxy) => {
      const { body } = await proxy.prepare('health')
      const json = body.toString()
      await everyCase(
        [
          ['a byte order mark', Buffer.from(`\ufeff${json}`)],
          ['UTF-16', Buffer.from(json, 'utf16le')],
          ['a byte that is no UTF-8', Buffer.from(json.replace('{', '{"a":"\xff",'), 'latin1')],
          ['NUL', Buffer.from(json.replace('{', '{"a":"\0",'))],
        ] as const,
        async (bytes) => assertRefused(await proxy.call('health', { body: bytes }), INVALID),
      )
    },
  },
  {
    id: 'J-06',
    level: 'MUST',
    title: 'a body is one JSON text and nothing else',
    run: async (proxy) => {
      const json = (await proxy.prepare('health')).body.toString()
      await everyCase(
        [
          ['text behind it', `${json}x`],
          ['two', `${json}${json}`],
          ['a comment', `/* */${json}`],
          ['NaN', json.replace('{', '{"a":NaN,')],
          ['a comma too many', json.replace(/}$/, ',}')],
          ['single quotes', json.replaceAll('"', "'")],
          ['cut off', json.slice(0, -1)],
        ] as const,
        async (body) => assertRefused(await proxy.call('health', { body }), INVALID),
      )
    },
  },
]

export const ERRORS: Section = { letter: 'X', name: 'errors and JSON', rows }

const NO_OBJECTS = [
  ['nothing', ''],
  ['null', 'null'],
  ['a list', '[]'],
  ['a text', '"text"'],
  ['a number', '1'],
  ['a form', 'a=b'],
] as const

function errorNameOf(answer: Answer): string | undefined {
  const name = membersOf(answer)?.['errorName']
  return typeof name === 'string' ? name : undefined
}

/** What an error's form should have been; undefined when it is right. */
function formFault(answer: Answer): string | undefined {
  const name = errorNameOf(answer)
  if (name === undefined) return 'a JSON object with an errorName'
  if (!Object.hasOwn(XKS_ERRORS, name)) return 'an errorName of the specification'
  const message = membersOf(answer)?.['errorMessage']
  if (message !== undefined && (typeof message !== 'string' || !MESSAGE.test(message)))
    return 'an errorMessage of fewer than 512 printable characters'
  const { status } = XKS_ERRORS[name as keyof typeof XKS_ERRORS]
  // HTTP itself refuses with statuses that the specification does not know, under this name.
  const ofHttp = name === INVALID && [405, 408, 413, 417, 431].includes(answer.status)
  return answer.status === status || ofHttp ? undefined : `status ${status} with ${name}`
}

function brokenRequests({ target }: ProxyUnderTest): (readonly [string, string])[] {
  const path = `${target.uriPathPrefix}/kms/xks/v1/health`
  const post = `POST ${path} HTTP/1.1\r\nHost: ${target.url.host}\r\n`
  return [
    ['garbage', 'garbage\r\n\r\n'],
    ['a preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['two lengths', `${post}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}`],
    [
      'a length beside chunks',
      `${post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    ['an odd transfer coding', `${post}Transfer-Encoding: xchunked\r\n\r\n{}`],
    ['a broken chunk', `${post}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`],
    ['NUL in a header', `${post}A: a\0b\r\n\r\n`],
    ['20 KiB of one header', `${post}A: ${'a'.repeat(20 * 1024)}\r\n\r\n`],
    ['UTF-8 in the path', post.replace('/health', '/h\xe9alth') + '\r\n'],
    ['CONNECT', `CONNECT ${target.url.host} HTTP/1.1\r\nHost: ${target.url.host}\r\n\r\n`],
    ['an expectation', `${post}Expect: 200-ok\r\nContent-Length: 0\r\n\r\n`],
  ]
}
