import { createDecipheriv, hash, randomBytes } from 'node:crypto'
import { fields } from '../../../bytes/fields.ts'
import { assertGranted, assertHolds, assertNotServed, assertRefused } from '../expectation.ts'
import { everyCase, nonconforming } from '../nonconformity.ts'
import { base64, type ProxyUnderTest, type Sealed } from '../proxy-under-test.ts'
import type { Row, Section } from '../row.ts'

/** What every proxy must take. */
export const LEAST_MAX_PLAINTEXT = 4_300
export const LEAST_MAX_AAD = 8_192
const ENCRYPTIONS_FOR_IV = 200
const EMPTY = Buffer.alloc(0)

const rows: readonly Row[] = [
  {
    id: 'E-01',
    level: 'MUST',
    title: 'plaintexts from 1 to 4,300 bytes come back as they were',
    run: (proxy) =>
      everyCase(
        [1, 12, 16, 17, 4_096, LEAST_MAX_PLAINTEXT].map((it) => [`${it} bytes`, it] as const),
        async (bytes) => assertOpens(proxy, await proxy.encrypt(randomBytes(bytes))),
      ),
  },
  {
    id: 'E-01',
    level: 'MUST',
    title: 'a plaintext that is missing, or no Base64, is invalid',
    run: (proxy) =>
      everyCase(
        [
          ['missing', undefined],
          ['null', null],
          ['a number', 12],
          ['a list', ['aGVsbG8=']],
          ['no Base64', '!@#$'],
        ] as readonly (readonly [string, unknown])[],
        async (plaintext) => assertInvalid(proxy, { plaintext }),
      ),
  },
  {
    id: 'E-01',
    level: 'ours',
    title: 'Base64 is the standard form and no other',
    run: (proxy) => everyCase(ODD_BASE64, async (plaintext) => assertInvalid(proxy, { plaintext })),
  },
  {
    id: 'E-01',
    level: 'ours',
    title: 'an empty plaintext is invalid: AWS KMS never sends one',
    run: (proxy) => assertInvalid(proxy, { plaintext: '' }),
  },
  {
    id: 'E-02',
    level: 'MUST',
    title: 'a plaintext beyond the proxy’s own maximum is UnsupportedOperationException',
    run: async (proxy) => {
      const plaintext = base64(randomBytes(64 * 1024))
      const answer = await proxy.call('encrypt', { members: { plaintext } })
      if (answer.status !== 200) assertRefused(answer, 'UnsupportedOperationException')
    },
  },
  {
    id: 'E-03',
    level: 'MUST',
    title: 'encryptionAlgorithm is required, and a string',
    run: (proxy) =>
      everyCase(
        [
          ['missing', undefined],
          ['null', null],
          ['a number', 1],
        ] as const,
        async (encryptionAlgorithm) => assertInvalid(proxy, { encryptionAlgorithm }),
      ),
  },
  {
    id: 'E-03',
    level: 'MUST',
    title: 'an algorithm other than AES_GCM is not used',
    run: (proxy) =>
      everyCase(OTHER_ALGORITHMS, async (encryptionAlgorithm) =>
        assertRefused(
          await proxy.call('encrypt', { members: { encryptionAlgorithm } }),
          'ValidationException',
          'UnsupportedOperationException',
        ),
      ),
  },
  {
    id: 'E-03',
    level: 'ours',
    title: 'and that is UnsupportedOperationException',
    run: (proxy) =>
      everyCase(OTHER_ALGORITHMS, async (encryptionAlgorithm) =>
        assertRefused(
          await proxy.call('encrypt', { members: { encryptionAlgorithm } }),
          'UnsupportedOperationException',
        ),
      ),
  },
  {
    id: 'E-04',
    level: 'MUST',
    title: 'AAD from none to 8,192 bytes is taken, and is needed to decrypt',
    run: (proxy) =>
      everyCase(
        [0, 1, 33, LEAST_MAX_AAD].map((it) => [`${it} bytes`, it] as const),
        async (bytes) => {
          const sealed = await proxy.encrypt(randomBytes(20), randomBytes(bytes))
          await assertOpens(proxy, sealed)
          const aad = Buffer.concat([sealed.aad ?? EMPTY, Buffer.from([0])])
          const answer = await proxy.decrypt({ ...sealed, aad })
          assertRefused(answer, 'InvalidCiphertextException')
        },
      ),
  },
  {
    id: 'E-04',
    level: 'MUST',
    title: 'the longest plaintext and the longest AAD fit together',
    run: async (proxy) => {
      const sealed = await proxy.encrypt(
        randomBytes(LEAST_MAX_PLAINTEXT),
        randomBytes(LEAST_MAX_AAD),
      )
      await assertOpens(proxy, sealed)
    },
  },
  {
    id: 'E-04',
    level: 'MUST',
    title: 'AAD that is no Base64 is invalid',
    run: (proxy) =>
      everyCase(
        [
          ['no Base64', '!@#$'],
          ['a number', 1],
        ] as readonly (readonly [string, unknown])[],
        async (additionalAuthenticatedData) =>
          assertInvalid(proxy, { additionalAuthenticatedData }),
      ),
  },
  {
    id: 'E-05',
    level: 'MUST',
    title: 'the integrity value is there when it is asked for',
    run: async (proxy) => {
      const { integrityValue } = await proxy.encrypt(randomBytes(20), undefined, { cdiv: true })
      assertHolds(integrityValue?.length === 32, '32 bytes', `${integrityValue?.length ?? 'none'}`)
    },
  },
  {
    id: 'E-05',
    level: 'MUST',
    title: 'another algorithm for it is refused',
    run: (proxy) =>
      everyCase(
        ['SHA_512', 'sha_256', ''].map((it) => [it || 'empty', it] as const),
        async (ciphertextDataIntegrityValueAlgorithm) =>
          assertRefused(
            await proxy.call('encrypt', { members: { ciphertextDataIntegrityValueAlgorithm } }),
            'ValidationException',
            'UnsupportedOperationException',
          ),
      ),
  },
  {
    id: 'E-06',
    level: 'MUST',
    title: 'the ciphertext is as long as the plaintext',
    run: (proxy) =>
      everyCase(
        [1, 15, 16, 17, 100].map((it) => [`${it} bytes`, it] as const),
        async (bytes) => {
          const { ciphertext } = await proxy.encrypt(randomBytes(bytes))
          assertHolds(ciphertext.length === bytes, `${bytes} bytes`, `${ciphertext.length} bytes`)
        },
      ),
  },
  {
    id: 'E-07',
    level: 'MUST',
    title: 'the tag is 16 bytes, apart from the ciphertext',
    run: async (proxy) => {
      const { authenticationTag: tag } = await proxy.encrypt(randomBytes(20))
      assertHolds(tag.length === 16, '16 bytes', `${tag.length} bytes`)
    },
  },
  {
    id: 'E-08',
    level: 'MUST',
    title: `the IV is 12 or 16 bytes, and another one for each of ${ENCRYPTIONS_FOR_IV} encryptions`,
    run: async (proxy) => {
      const plaintext = randomBytes(16)
      const seen = new Set<string>()
      for (let count = 0; count < ENCRYPTIONS_FOR_IV; count++) {
        const { initializationVector: iv } = await proxy.encrypt(plaintext)
        assertHolds(iv.length === 12 || iv.length === 16, '12 or 16 bytes', `${iv.length} bytes`)
        assertHolds(
          iv.some((byte) => byte !== 0),
          'an IV',
          'zeros',
        )
        assertHolds(!seen.has(iv.toString('hex')), 'an IV of its own', 'one that was used before')
        seen.add(iv.toString('hex'))
      }
    },
  },
  {
    id: 'E-09',
    level: 'MUST',
    title: 'ciphertextMetadata, where there is any, is at most 20 bytes',
    run: async (proxy) => {
      const { ciphertextMetadata } = await proxy.encrypt(randomBytes(20))
      const bytes = ciphertextMetadata?.length ?? 0
      assertHolds(bytes <= 20, 'at most 20 bytes', `${bytes} bytes`)
    },
  },
  {
    id: 'E-11',
    level: 'MUST',
    title: 'the GCM input is AAD and metadata, each behind its length',
    run: async (proxy) => {
      const key = proxy.need('keyBytes', '--key-bytes-file')
      await everyCase(
        [
          ['no AAD', undefined],
          ['empty', EMPTY],
          ['1 byte', randomBytes(1)],
          ['8,192 bytes', randomBytes(LEAST_MAX_AAD)],
        ] as const,
        async (aad) => assertGcm(key, await proxy.encrypt(randomBytes(50), aad)),
      )
    },
  },
  {
    id: 'E-11',
    level: 'ours',
    title: 'absent AAD and empty AAD are the same',
    run: async (proxy) => {
      const sealed = await proxy.encrypt(randomBytes(20))
      await assertOpens(proxy, { ...sealed, aad: EMPTY })
      await assertOpens(proxy, { ...(await proxy.encrypt(randomBytes(20), EMPTY)), aad: undefined })
    },
  },
  {
    id: 'E-12',
    level: 'MUST',
    title: 'AAD whose length does not fit two bytes never becomes shorter',
    run: (proxy) =>
      everyCase(
        [65_536, 131_072].map((it) => [`${it} bytes`, it] as const),
        async (bytes) => {
          const additionalAuthenticatedData = base64(Buffer.alloc(bytes))
          const answer = await proxy.call('encrypt', { members: { additionalAuthenticatedData } })
          assertNotServed(answer)
          assertGranted(await proxy.call('health'))
        },
      ),
  },
  {
    id: 'E-12',
    level: 'ours',
    title: 'and is UnsupportedOperationException',
    run: async (proxy) => {
      const additionalAuthenticatedData = base64(Buffer.alloc(65_536))
      assertRefused(
        await proxy.call('encrypt', { members: { additionalAuthenticatedData } }),
        'UnsupportedOperationException',
      )
    },
  },
  {
    id: 'E-14',
    level: 'MUST',
    title: 'the integrity value is SHA-256 over AAD, metadata, IV, ciphertext and tag',
    run: (proxy) =>
      everyCase(
        [
          ['no AAD', undefined],
          ['empty AAD', EMPTY],
          ['33 bytes of AAD', randomBytes(33)],
          ['8,192 bytes of AAD', randomBytes(LEAST_MAX_AAD)],
        ] as const,
        async (aad) => {
          const sealed = await proxy.encrypt(randomBytes(40), aad, { cdiv: true })
          const expected = integrityValueOf(sealed)
          if (!sealed.integrityValue?.equals(expected))
            nonconforming(base64(expected), base64(sealed.integrityValue ?? EMPTY) || 'none')
          await assertOpens(proxy, sealed)
        },
      ),
  },
  {
    id: 'E-17',
    level: 'MUST',
    title: 'a key that only encrypts cannot promise to decrypt, and encrypts without the promise',
    run: async (proxy) => {
      const keyId = proxy.need('encryptOnlyKeyId', '--encrypt-only-key-id')
      await proxy.encrypt(randomBytes(20), undefined, { keyId })
      const members = { ciphertextDataIntegrityValueAlgorithm: 'SHA_256' }
      assertRefused(await proxy.call('encrypt', { keyId, members }), 'InvalidKeyUsageException')
    },
  },
  {
    id: 'E-19',
    level: 'MUST',
    title: 'a key that only decrypts does not encrypt',
    run: async (proxy) => {
      const keyId = proxy.need('decryptOnlyKeyId', '--decrypt-only-key-id')
      assertRefused(await proxy.call('encrypt', { keyId }), 'InvalidKeyUsageException')
    },
  },
]

export const ENCRYPT: Section = { letter: 'E', name: 'Encrypt', rows }

/** Text that decoders forgive. */
export const ODD_BASE64 = [
  ['no padding', 'aGVsbG8'],
  ['too much padding', 'aGVsbG8=='],
  ['white space', 'aGVs bG8='],
  ['a line break', 'aGVsbG8=\n'],
  ['the URL alphabet', '-_-_'],
  ['bits that are not used, set', 'aGVsbG9='],
  ['padding within', 'aGU=bG8='],
] as const

const OTHER_ALGORITHMS = ['AES_CBC', 'aes_gcm', 'RSAES_OAEP_SHA_256', ''].map(
  (it) => [it || 'empty', it] as const,
)

/** Throws Nonconformity unless Decrypt gives the plaintext back. */
export async function assertOpens(proxy: ProxyUnderTest, sealed: Sealed): Promise<void> {
  const { plaintext } = assertGranted(await proxy.decrypt(sealed))
  assertHolds(plaintext === base64(sealed.plaintext), 'the plaintext', 'something else')
}

async function assertInvalid(proxy: ProxyUnderTest, members: Record<string, unknown>) {
  assertRefused(await proxy.call('encrypt', { members }), 'ValidationException')
}

function integrityValueOf(sealed: Sealed): Buffer {
  const { aad, ciphertextMetadata, initializationVector, ciphertext, authenticationTag } = sealed
  const parts = [
    aad ?? EMPTY,
    ciphertextMetadata ?? EMPTY,
    initializationVector,
    ciphertext,
    authenticationTag,
  ]
  return hash('sha256', Buffer.concat(parts), 'buffer')
}

/** Throws Nonconformity unless node's own GCM opens it with the AAD that the specification builds. */
function assertGcm(key: Buffer, sealed: Sealed): void {
  const { initializationVector: iv, ciphertext, authenticationTag, plaintext } = sealed
  const aad = fields()
    .sized(2, sealed.aad ?? EMPTY)
    .sized(1, sealed.ciphertextMetadata ?? EMPTY)
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 })
  decipher.setAAD(aad.bytes()).setAuthTag(authenticationTag)
  try {
    const opened = Buffer.concat([decipher.update(ciphertext), decipher.final()])
    assertHolds(opened.equals(plaintext), 'the plaintext', 'something else')
  } catch {
    nonconforming('a tag over AAD and metadata with their lengths', 'a tag over something else')
  }
}
