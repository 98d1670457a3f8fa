import { printable } from '../answer.ts'
import { assertGranted, assertHolds, assertRefused } from '../expectation.ts'
import { everyCase } from '../nonconformity.ts'
import type { ProxyUnderTest } from '../proxy-under-test.ts'
import type { Row, Section } from '../row.ts'

const rows: readonly Row[] = [
  {
    id: 'G-01',
    level: 'MUST',
    title: 'the answer has keySpec, keyUsage and keyStatus',
    run: async (proxy) => {
      const { keySpec, keyUsage, keyStatus } = await metadataOf(proxy)
      const isText = (it: unknown) => typeof it === 'string'
      assertHolds(isText(keySpec), 'keySpec as a string', show(keySpec))
      assertHolds(isText(keyStatus), 'keyStatus as a string', show(keyStatus))
      assertHolds(
        Array.isArray(keyUsage) && keyUsage.every(isText),
        'keyUsage as a list of strings',
        show(keyUsage),
      )
    },
  },
  {
    id: 'G-02',
    level: 'MUST',
    title: 'a 256-bit AES key is AES_256',
    run: async (proxy) => {
      const { keySpec } = await metadataOf(proxy)
      assertHolds(keySpec === 'AES_256', 'AES_256', show(keySpec))
    },
  },
  {
    id: 'G-03',
    level: 'MUST',
    title: 'a key that encrypts and decrypts says ENCRYPT and DECRYPT',
    run: async (proxy) => assertUsage(await metadataOf(proxy), ['DECRYPT', 'ENCRYPT'], []),
  },
  {
    id: 'G-03',
    level: 'MUST',
    title: 'a key that only encrypts does not say DECRYPT',
    run: async (proxy) => {
      const keyId = proxy.need('encryptOnlyKeyId', '--encrypt-only-key-id')
      assertUsage(await metadataOf(proxy, keyId), ['ENCRYPT'], ['DECRYPT'])
    },
  },
  {
    id: 'G-03',
    level: 'MUST',
    title: 'a key that only decrypts does not say ENCRYPT',
    run: async (proxy) => {
      const keyId = proxy.need('decryptOnlyKeyId', '--decrypt-only-key-id')
      assertUsage(await metadataOf(proxy, keyId), ['DECRYPT'], ['ENCRYPT'])
    },
  },
  {
    id: 'G-04',
    level: 'MUST',
    title: 'there are at most ten usages',
    run: async (proxy) => {
      const { keyUsage } = await metadataOf(proxy)
      const usages = Array.isArray(keyUsage) ? keyUsage.length : 0
      assertHolds(usages <= 10, 'at most 10', String(usages))
    },
  },
  {
    id: 'G-05',
    level: 'MUST',
    title: 'the status is ENABLED for a key that can be used',
    run: async (proxy) => {
      const { keyStatus } = await metadataOf(proxy)
      assertHolds(keyStatus === 'ENABLED', 'ENABLED', show(keyStatus))
    },
  },
  {
    id: 'G-05',
    level: 'MUST',
    title: 'a disabled key says DISABLED, and neither encrypts nor decrypts',
    run: async (proxy) => {
      const keyId = proxy.need('disabledKeyId', '--disabled-key-id')
      const { keyStatus } = await metadataOf(proxy, keyId)
      assertHolds(keyStatus === 'DISABLED', 'DISABLED', show(keyStatus))
      await everyCase(
        [
          ['encrypt', 'encrypt'],
          ['decrypt', 'decrypt'],
        ] as const,
        async (operation) =>
          assertRefused(await proxy.call(operation, { keyId }), 'InvalidStateException'),
      )
    },
  },
  {
    id: 'G-07',
    level: 'MUST',
    title: 'an absent key is KeyNotFoundException for every operation',
    run: (proxy) =>
      everyCase(
        (['metadata', 'encrypt', 'decrypt'] as const).map((it) => [it, it] as const),
        async (operation) =>
          assertRefused(
            await proxy.call(operation, { keyId: proxy.absentKeyId() }),
            'KeyNotFoundException',
          ),
      ),
  },
  {
    id: 'G-07',
    level: 'MUST',
    title: 'CreateKey and DescribeKey may ask',
    run: (proxy) =>
      everyCase(
        ['CreateKey', 'DescribeKey'].map((it) => [it, it] as const),
        async (kmsOperation) =>
          void assertGranted(await proxy.call('metadata', { requestMetadata: { kmsOperation } })),
      ),
  },
  {
    id: 'G-08',
    level: 'MUST',
    title: 'asking for an absent key makes none, also for CreateKey',
    run: async (proxy) => {
      const keyId = proxy.absentKeyId()
      await proxy.call('metadata', { keyId })
      assertRefused(await proxy.call('metadata', { keyId }), 'KeyNotFoundException')
    },
  },
]

export const GET_KEY_METADATA: Section = { letter: 'G', name: 'GetKeyMetadata', rows }

type Members = Readonly<Record<string, unknown>>

async function metadataOf(proxy: ProxyUnderTest, keyId = proxy.target.keyId): Promise<Members> {
  return assertGranted(await proxy.call('metadata', { keyId }))
}

function assertUsage({ keyUsage }: Members, wanted: readonly string[], not: readonly string[]) {
  const usages: readonly unknown[] = Array.isArray(keyUsage) ? keyUsage : []
  assertHolds(
    wanted.every((it) => usages.includes(it)) && !not.some((it) => usages.includes(it)),
    wanted.join(' and '),
    show(keyUsage),
  )
}

function show(value: unknown): string {
  return printable(JSON.stringify(value) ?? 'none').slice(0, 200)
}
