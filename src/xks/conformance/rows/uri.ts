import { assertGranted, assertNotServed, assertRefused } from '../expectation.ts'
import { everyCase } from '../nonconformity.ts'
import { OPERATIONS, type ProxyUnderTest } from '../proxy-under-test.ts'
import type { Row, Section } from '../row.ts'

/** The longest id that the specification has. */
const MAX_ID = 128

const rows: readonly Row[] = [
  {
    id: 'U-01',
    level: 'MUST',
    title: 'the four operations are where the specification has them',
    run: (proxy) =>
      everyCase(
        OPERATIONS.map((it) => [it, it] as const),
        async (operation) => void assertGranted(await proxy.call(operation)),
      ),
  },
  {
    id: 'U-01',
    level: 'MUST',
    title: 'another path is refused',
    run: (proxy) =>
      everyCase(
        paths(proxy, ({ base, key }) => [
          ['no operation', `${base}/keys/${key}`],
          ['an unknown one', `${base}/keys/${key}/sign`],
          ['in capitals', `${base}/keys/${key}/Encrypt`],
          ['no key', `${base}/keys//encrypt`],
          ['more behind it', `${base}/keys/${key}/encrypt/more`],
          ['a slash behind it', `${base}/keys/${key}/encrypt/`],
          ['health of a key', `${base}/keys/${key}/health`],
          ['the root', '/'],
        ]),
        async (target) =>
          assertRefused(await proxy.call('encrypt', { target }), 'InvalidUriPathException'),
      ),
  },
  {
    id: 'U-03',
    level: 'ours',
    title: 'a target of more than 256 characters is no path, and gets an answer',
    run: (proxy) =>
      everyCase(
        [300, 4_000].map((characters) => [`${characters} characters`, characters] as const),
        async (characters) =>
          assertRefused(
            await proxy.call('encrypt', { keyId: 'k'.repeat(characters) }),
            'InvalidUriPathException',
          ),
      ),
  },
  {
    id: 'U-06',
    level: 'MUST',
    title: 'a key id of 128 characters, of all that are allowed, is looked for',
    run: (proxy) =>
      everyCase(
        [
          ['128 characters', 'k'.repeat(MAX_ID)],
          ['dots, dashes, lines', 'Az09._-...--__'],
        ] as const,
        async (keyId) =>
          assertRefused(await proxy.call('encrypt', { keyId }), 'KeyNotFoundException'),
      ),
  },
  {
    id: 'U-06',
    level: 'MUST',
    title: 'a key id of other characters, or of 129, is refused',
    run: (proxy) =>
      everyCase(ILL_FORMED_IDS, async (keyId) =>
        assertRefused(
          await proxy.call('encrypt', { keyId }),
          'InvalidUriPathException',
          'KeyNotFoundException',
        ),
      ),
  },
  {
    id: 'U-06',
    level: 'ours',
    title: 'and that by InvalidUriPathException',
    run: (proxy) =>
      everyCase(ILL_FORMED_IDS, async (keyId) =>
        assertRefused(await proxy.call('encrypt', { keyId }), 'InvalidUriPathException'),
      ),
  },
  {
    id: 'U-07',
    level: 'MUST',
    title: 'no path is walked: dots are not resolved, codes not decoded',
    run: (proxy) =>
      everyCase(detours(proxy), async (target) =>
        assertNotServed(await proxy.call('encrypt', { target })),
      ),
  },
  {
    id: 'U-07',
    level: 'ours',
    title: 'such paths, and the ids . and .., are InvalidUriPathException',
    run: (proxy) =>
      everyCase(
        [
          ...detours(proxy),
          ...paths(proxy, ({ base }) => [
            ['the id .', `${base}/keys/./encrypt`],
            ['the id ..', `${base}/keys/../encrypt`],
          ]),
        ],
        async (target) =>
          assertRefused(await proxy.call('encrypt', { target }), 'InvalidUriPathException'),
      ),
  },
  {
    id: 'U-10',
    level: 'MUST',
    title: 'a prefix that no key store has is refused',
    run: (proxy) =>
      everyCase(
        OPERATIONS.map((it) => [it, it] as const),
        async (operation) =>
          assertRefused(
            await proxy.call(operation, { prefix: '/no/such/store' }),
            'InvalidUriPathException',
          ),
      ),
  },
  {
    id: 'U-11',
    level: 'MUST',
    title: 'another version of the API is refused',
    run: (proxy) =>
      everyCase(
        ['v2', 'v0', 'v01', 'v10', 'V1'].map((version) => [version, version] as const),
        async (version) => {
          const target = `${proxy.target.uriPathPrefix}/kms/xks/${version}/health`
          assertRefused(await proxy.call('health', { target }), 'InvalidUriPathException')
        },
      ),
  },
  {
    id: 'U-12',
    level: 'ours',
    title: 'a target with a question mark is refused',
    run: (proxy) =>
      everyCase(
        ['?', '?a=b', '?X-Amz-Expires=300'].map((it) => [it, it] as const),
        async (query) =>
          assertRefused(
            await proxy.call('health', {
              target: `${proxy.target.uriPathPrefix}/kms/xks/v1/health${query}`,
            }),
            'InvalidUriPathException',
            'AuthenticationFailedException',
          ),
      ),
  },
]

export const URI: Section = { letter: 'U', name: 'URIs', rows }

const ILL_FORMED_IDS = [
  ['129 characters', 'k'.repeat(MAX_ID + 1)],
  ['%41', '%41'],
  ['%20', 'a%20b'],
  ['a colon', 'a:b'],
  ['a plus', 'a+b'],
  ['a semicolon', 'a;b'],
  ['UTF-8', '%C3%A9'],
] as const

interface PathParts {
  readonly base: string
  readonly key: string
  readonly prefix: string
}

type NamedPaths = readonly (readonly [name: string, target: string])[]

function paths({ target }: ProxyUnderTest, list: (parts: PathParts) => NamedPaths): NamedPaths {
  const { uriPathPrefix: prefix, keyId: key } = target
  return list({ prefix, key, base: `${prefix}/kms/xks/v1` })
}

/** Targets that lead to a key that exists, for whoever tidies a path up. */
function detours(proxy: ProxyUnderTest): NamedPaths {
  return paths(proxy, ({ base, key, prefix }) => [
    ['..', `${base}/keys/x/../${key}/encrypt`],
    ['.', `${base}/keys/./${key}/encrypt`],
    ['two slashes', `${base}/keys//${key}/encrypt`],
    ['two slashes at the beginning', `/${base}/keys/${key}/encrypt`],
    ['%2F', `${base}/keys%2F${key}/encrypt`],
    ['%2e%2e', `${base}/keys/x/%2e%2e/${key}/encrypt`],
    ['a parameter', `${base}/keys/${key};v=1/encrypt`],
    ['capitals', `${prefix}/KMS/xks/v1/keys/${key}/encrypt`],
    ['an absolute target', `http://${proxy.target.url.host}${base}/keys/${key}/encrypt`],
  ])
}
