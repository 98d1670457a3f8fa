import { randomBytes } from 'node:crypto'
import { assertGranted, assertHolds, assertNotServed, assertRefused } from '../expectation.ts'
import { everyCase, NotApplicable } from '../nonconformity.ts'
import { base64, type ProxyUnderTest, type Sealed } from '../proxy-under-test.ts'
import type { Row, Section } from '../row.ts'
import { assertOpens, LEAST_MAX_PLAINTEXT, ODD_BASE64 } from './encrypt.ts'

const CORRUPT = 'InvalidCiphertextException'
const INVALID = 'ValidationException'
const REQUIRED = [
  'ciphertext',
  'initializationVector',
  'authenticationTag',
  'encryptionAlgorithm',
] as const
const WRONG_IV_BYTES = [0, 1, 8, 11, 13, 15, 17, 32]
const WRONG_TAG_BYTES = [0, 4, 8, 12, 13, 15, 17, 32]
const EMPTY = Buffer.alloc(0)

/** What Encrypt gave, with parts exchanged. */
type Change = (sealed: Sealed) => Partial<Sealed>

const rows: readonly Row[] = [
  {
    id: 'D-01',
    level: 'MUST',
    title: 'what Encrypt gave is opened, up to 4,300 bytes',
    run: (proxy) =>
      everyCase(
        [1, 16, LEAST_MAX_PLAINTEXT].map((it) => [`${it} bytes`, it] as const),
        async (bytes) =>
          assertOpens(proxy, await proxy.encrypt(randomBytes(bytes), randomBytes(9))),
      ),
  },
  {
    id: 'D-01',
    level: 'MUST',
    title: 'a required member that is missing is refused',
    run: (proxy) =>
      everyCase(
        REQUIRED.map((it) => [it, it] as const),
        async (member) =>
          assertRefused(
            await proxy.call('decrypt', {
              members: { ...(await sealedMembers(proxy)), [member]: undefined },
            }),
            INVALID,
            ...(member === 'encryptionAlgorithm' ? [] : ([CORRUPT] as const)),
          ),
      ),
  },
  {
    id: 'D-01',
    level: 'MUST',
    title: 'a member that is no Base64 is refused',
    run: (proxy) => eachBytesMember(proxy, [['no Base64', '!@#$']], [INVALID, CORRUPT]),
  },
  {
    id: 'D-01',
    level: 'ours',
    title: 'Base64 is the standard form and no other',
    run: (proxy) => eachBytesMember(proxy, ODD_BASE64, [INVALID]),
  },
  {
    id: 'D-02',
    level: 'MUST',
    title: 'ciphertextMetadata of 21 bytes is refused',
    run: async (proxy) =>
      assertRefused(
        await change(proxy, () => ({ ciphertextMetadata: Buffer.alloc(21) })),
        INVALID,
        CORRUPT,
      ),
  },
  {
    id: 'D-02',
    level: 'ours',
    title: 'and that by InvalidCiphertextException',
    run: (proxy) =>
      corrupt(proxy, [['21 bytes', () => ({ ciphertextMetadata: Buffer.alloc(21) })]]),
  },
  {
    id: 'D-03',
    level: 'MUST',
    title: 'metadata that was changed, dropped or added is noticed',
    run: (proxy) =>
      corrupt(proxy, [
        [
          'a bit, or a byte where there was none',
          ({ ciphertextMetadata: it }) => ({
            ciphertextMetadata: it ? flip(it, 0) : Buffer.alloc(1),
          }),
        ],
        [
          'the last bit',
          ({ ciphertextMetadata: it }) => ({
            ciphertextMetadata: it ? flip(it, -1) : Buffer.alloc(2),
          }),
        ],
        [
          'dropped, or 20 bytes where there was none',
          ({ ciphertextMetadata: it }) => ({
            ciphertextMetadata: it ? undefined : Buffer.alloc(20),
          }),
        ],
        [
          'a byte less, or one of text where there was none',
          ({ ciphertextMetadata: it }) => ({
            ciphertextMetadata: it?.subarray(0, -1) ?? Buffer.from('x'),
          }),
        ],
      ]),
  },
  {
    id: 'D-03',
    level: 'MUST',
    title: 'no byte moves between metadata and AAD',
    run: async (proxy) => {
      const { ciphertextMetadata } = await proxy.sealed()
      if (!ciphertextMetadata?.length) throw new NotApplicable('the proxy returns no metadata')
      await corrupt(proxy, [
        ['all of it behind the AAD', moved((aad, metadata) => [concat(aad, metadata), undefined])],
        ['all of it, and none left', moved((aad, metadata) => [concat(aad, metadata), EMPTY])],
        ['all of it before the AAD', moved((aad, metadata) => [concat(metadata, aad), undefined])],
        ['its first byte', moved((aad, it) => [concat(aad, it.subarray(0, 1)), it.subarray(1)])],
      ])
    },
  },
  {
    id: 'D-03',
    level: 'MUST',
    title: 'without AAD, the metadata is not taken for it',
    run: async (proxy) => {
      const sealed = await proxy.encrypt(randomBytes(20))
      const { ciphertextMetadata } = sealed
      if (!ciphertextMetadata?.length) throw new NotApplicable('the proxy returns no metadata')
      const answer = await proxy.decrypt({
        ...sealed,
        aad: ciphertextMetadata,
        ciphertextMetadata: undefined,
      })
      assertRefused(answer, CORRUPT)
    },
  },
  {
    id: 'D-04',
    level: 'MUST',
    title: 'an algorithm other than AES_GCM is not used',
    run: async (proxy) =>
      assertRefused(
        await proxy.call('decrypt', { members: { encryptionAlgorithm: 'AES_CBC' } }),
        INVALID,
        'UnsupportedOperationException',
      ),
  },
  {
    id: 'D-05',
    level: 'MUST',
    title: 'other AAD is noticed: changed, dropped, longer, shorter',
    run: (proxy) =>
      corrupt(proxy, [
        ['a bit', ({ aad = EMPTY }) => ({ aad: flip(aad, 0) })],
        ['dropped', () => ({ aad: undefined })],
        ['a byte more', ({ aad = EMPTY }) => ({ aad: concat(aad, Buffer.alloc(1)) })],
        ['a byte less', ({ aad }) => ({ aad: aad?.subarray(0, -1) })],
      ]),
  },
  {
    id: 'D-06',
    level: 'MUST',
    title: 'an IV that is not 12 or 16 bytes is refused',
    run: (proxy) => eachLength(proxy, 'initializationVector', WRONG_IV_BYTES, [INVALID, CORRUPT]),
  },
  {
    id: 'D-06',
    level: 'ours',
    title: 'and that by InvalidCiphertextException',
    run: (proxy) => eachLength(proxy, 'initializationVector', WRONG_IV_BYTES, [CORRUPT]),
  },
  {
    id: 'D-06',
    level: 'MUST',
    title: 'another IV is noticed',
    run: (proxy) =>
      corrupt(proxy, [
        ['the first bit', (it) => ({ initializationVector: flip(it.initializationVector, 0) })],
        ['the last bit', (it) => ({ initializationVector: flip(it.initializationVector, -1) })],
      ]),
  },
  {
    id: 'D-07',
    level: 'MUST',
    title: 'a tag that is not 16 bytes is refused, also one that begins right',
    run: (proxy) => eachLength(proxy, 'authenticationTag', WRONG_TAG_BYTES, [INVALID, CORRUPT]),
  },
  {
    id: 'D-07',
    level: 'ours',
    title: 'and that by InvalidCiphertextException',
    run: (proxy) => eachLength(proxy, 'authenticationTag', WRONG_TAG_BYTES, [CORRUPT]),
  },
  {
    id: 'D-07',
    level: 'MUST',
    title: 'another tag or ciphertext is noticed',
    run: (proxy) =>
      corrupt(proxy, [
        ['first bit of the tag', (it) => ({ authenticationTag: flip(it.authenticationTag, 0) })],
        ['last bit of the tag', (it) => ({ authenticationTag: flip(it.authenticationTag, -1) })],
        ['first bit of the ciphertext', ({ ciphertext }) => ({ ciphertext: flip(ciphertext, 0) })],
        ['last bit of the ciphertext', ({ ciphertext }) => ({ ciphertext: flip(ciphertext, -1) })],
        ['a byte less', ({ ciphertext }) => ({ ciphertext: ciphertext.subarray(0, -1) })],
        ['a byte more', ({ ciphertext }) => ({ ciphertext: concat(ciphertext, Buffer.alloc(1)) })],
      ]),
  },
  {
    id: 'D-08',
    level: 'MUST',
    title: 'no byte moves between ciphertext and tag',
    run: (proxy) =>
      everyCase(
        [1, 4, 15, 16].map((it) => [`${it} bytes`, it] as const),
        async (bytes) =>
          assertNotServed(
            await change(proxy, ({ ciphertext, authenticationTag }) => ({
              ciphertext: ciphertext.subarray(0, -bytes),
              authenticationTag: concat(ciphertext.subarray(-bytes), authenticationTag),
            })),
          ),
      ),
  },
  {
    id: 'D-08',
    level: 'MUST',
    title: 'nor from the tag to the ciphertext',
    run: async (proxy) =>
      assertNotServed(
        await change(proxy, ({ ciphertext, authenticationTag: tag }) => ({
          ciphertext: concat(ciphertext, tag.subarray(0, 1)),
          authenticationTag: tag.subarray(1),
        })),
      ),
  },
  {
    id: 'D-11',
    level: 'ours',
    title: 'an integrity value in the request is ignored',
    run: async (proxy) => {
      const { plaintext } = await proxy.sealed()
      const members = { ciphertextDataIntegrityValue: base64(randomBytes(32)) }
      const answer = assertGranted(await proxy.call('decrypt', { members }))
      assertHolds(answer['plaintext'] === base64(plaintext), 'the plaintext', 'something else')
    },
  },
  {
    id: 'D-12',
    level: 'MUST',
    title: 'AAD of more than 65,535 bytes is refused, and the proxy lives on',
    run: (proxy) =>
      everyCase(
        [65_536, 131_072].map((it) => [`${it} bytes`, it] as const),
        async (bytes) => {
          assertNotServed(await change(proxy, () => ({ aad: Buffer.alloc(bytes) })))
          assertGranted(await proxy.call('health'))
        },
      ),
  },
  {
    id: 'D-13',
    level: 'MUST',
    title: 'a key that only encrypts does not decrypt',
    run: async (proxy) => {
      const keyId = proxy.need('encryptOnlyKeyId', '--encrypt-only-key-id')
      const sealed = await proxy.encrypt(randomBytes(20), undefined, { keyId })
      assertRefused(await proxy.decrypt(sealed, { keyId }), 'InvalidKeyUsageException')
    },
  },
]

export const DECRYPT: Section = { letter: 'D', name: 'Decrypt', rows }

const BYTES_MEMBERS = [
  'ciphertext',
  'initializationVector',
  'authenticationTag',
  'ciphertextMetadata',
  'additionalAuthenticatedData',
] as const

async function sealedMembers(proxy: ProxyUnderTest): Promise<Record<string, string | undefined>> {
  const attempt = await proxy.prepare('decrypt')
  const { requestMetadata: _, ...members } = JSON.parse(attempt.body.toString()) as Record<
    string,
    string
  >
  return members
}

function eachBytesMember(
  proxy: ProxyUnderTest,
  texts: readonly (readonly [name: string, text: string])[],
  names: readonly (typeof INVALID | typeof CORRUPT)[],
): Promise<void> {
  const cases = BYTES_MEMBERS.flatMap((member) =>
    texts.map(([name, text]) => [`${member}: ${name}`, { [member]: text }] as const),
  )
  return everyCase(cases, async (members) =>
    assertRefused(
      await proxy.call('decrypt', { members: { ...(await sealedMembers(proxy)), ...members } }),
      ...names,
    ),
  )
}

async function change(proxy: ProxyUnderTest, change: Change) {
  const sealed = await proxy.sealed()
  return await proxy.decrypt({ ...sealed, ...change(sealed) })
}

function corrupt(
  proxy: ProxyUnderTest,
  cases: readonly (readonly [name: string, change: Change])[],
): Promise<void> {
  return everyCase(cases, async (it) => assertRefused(await change(proxy, it), CORRUPT))
}

/** Shorter is the beginning of the right value, longer the right value with more behind it. */
function eachLength(
  proxy: ProxyUnderTest,
  member: 'initializationVector' | 'authenticationTag',
  lengths: readonly number[],
  names: readonly (typeof INVALID | typeof CORRUPT)[],
): Promise<void> {
  return everyCase(
    lengths.map((it) => [`${it} bytes`, it] as const),
    async (bytes) =>
      assertRefused(
        await change(proxy, (it) => ({
          [member]: concat(it[member], Buffer.alloc(32)).subarray(0, bytes),
        })),
        ...names,
      ),
  )
}

function moved(move: (aad: Buffer, metadata: Buffer) => [Buffer, Buffer | undefined]): Change {
  return ({ aad = EMPTY, ciphertextMetadata = EMPTY }) => {
    const [movedAad, movedMetadata] = move(aad, ciphertextMetadata)
    return { aad: movedAad, ciphertextMetadata: movedMetadata }
  }
}

function flip(bytes: Buffer, at: number): Buffer {
  const flipped = Buffer.from(bytes)
  const index = at < 0 ? flipped.length + at : at
  flipped.writeUInt8(flipped.readUInt8(index) ^ 1, index)
  return flipped
}

function concat(...parts: readonly Buffer[]): Buffer {
  return Buffer.concat(parts)
}
