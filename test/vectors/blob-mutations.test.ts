import { expect } from 'chai'
import { AEAD_SCHEMES, type AeadSchemeName } from '../../src/crypto/aead-scheme.ts'
import { blobHeader, parseCiphertextBlob } from '../../src/kms/ciphertext-blob.ts'
import { DaemonUnderTest } from '../support/daemon-under-test.ts'
import { callKms, type KmsEndpoint } from '../support/kms-request.ts'

type Context = Readonly<Record<string, string>>

const PLAINTEXT = Buffer.alloc(64, 'secret text ')
const CONTEXT = { purpose: 'orders', größe: '12 €' }
const AT_ONCE = 8
const OTHER_ACCOUNT = '444455556666'

/** The one answer to a bad ciphertext: KMS-2, the exception without a message. */
const REFUSED = 'InvalidCiphertextException: HTTP 400'
// KMS-37
const DENIED =
  'AccessDeniedException: The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.'

const CONTEXTS: readonly {
  readonly title: string
  readonly sealed: Context | undefined
  readonly opens: readonly (Context | undefined)[]
  readonly refuses: readonly (Context | undefined)[]
}[] = [
  {
    title: 'two pairs',
    sealed: { a: '1', b: '2' },
    opens: [{ b: '2', a: '1' }],
    refuses: [
      undefined,
      {},
      { a: '1' },
      { a: '1', b: '2', c: '3' },
      { a: '2', b: '1' },
      { A: '1', b: '2' },
    ],
  },
  {
    title: 'a pair whose bytes could be divided otherwise',
    sealed: { a: 'bc' },
    opens: [],
    refuses: [{ ab: 'c' }, { abc: '' }, { '': 'abc' }],
  },
  { title: 'an empty value', sealed: { a: '' }, opens: [], refuses: [{ '': 'a' }, {}, undefined] },
  {
    title: 'a composed letter',
    sealed: { '\u00e9': 'x' },
    opens: [],
    refuses: [{ 'e\u0301': 'x' }, { e: 'x' }],
  },
  { title: 'none', sealed: undefined, opens: [{}], refuses: [{ a: '' }] },
]

const FLAVOURS = [
  { scheme: 'AES_GCM', other: 'AES_CBC_HMAC', withoutGcm: false },
  { scheme: 'AES_CBC_HMAC', other: 'AES_GCM', withoutGcm: true },
] as const satisfies readonly {
  scheme: AeadSchemeName
  other: AeadSchemeName
  withoutGcm: boolean
}[]

for (const { scheme, other, withoutGcm } of FLAVOURS)
  describe(`a ciphertext blob under attack, ${scheme}`, () => {
    let daemon: DaemonUnderTest
    let endpoint: KmsEndpoint
    let key: string
    let otherKey: string
    let blob: Buffer
    let blobOfOtherKey: Buffer

    before(async () => {
      daemon = await DaemonUnderTest.start({ withoutGcm })
      endpoint = daemon.endpoint()
      key = await createKey(endpoint)
      otherKey = await createKey(endpoint)
      blob = await encrypt(endpoint, key, CONTEXT)
      blobOfOtherKey = await encrypt(endpoint, otherKey, CONTEXT)
      await daemon.whole()
    })
    after(() => daemon.stop())

    const outcome = (bytes: Buffer, more: object = {}) =>
      decrypt(endpoint, bytes, { EncryptionContext: CONTEXT, ...more })

    it(`is one of ${scheme}, and opens`, async () => {
      expect(parseCiphertextBlob(blob).scheme).to.equal(scheme)
      expect(await outcome(blob)).to.equal('opened')
    })

    it('AT-C01, AT-C16: is refused with any one bit changed, always with the same answer', async () => {
      const flipped = Array.from({ length: blob.length * 8 }, (_, bit) => {
        const copy = Buffer.from(blob)
        copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        return copy
      })
      expect(flipped).to.have.length.of.at.least(135 * 8)
      expect(await distinct(flipped, outcome)).to.deep.equal([REFUSED])
    })

    it('AT-C02: is refused when it was cut at any length', async () => {
      const cut = Array.from({ length: blob.length - 1 }, (_, i) => blob.subarray(0, i + 1))
      expect(await distinct(cut, outcome)).to.deep.equal([REFUSED])
    })

    it('AT-C02: is refused when something stands before or behind it', async () => {
      const more = [1, 15, 16, 32].flatMap((bytes) => [
        Buffer.concat([blob, Buffer.alloc(bytes)]),
        Buffer.concat([Buffer.alloc(bytes), blob]),
      ])
      const twice = Buffer.concat([blob, blob])
      expect(await distinct([...more, twice], outcome)).to.deep.equal([REFUSED])
    })

    it('AT-C05: is refused under a header that was edited, its check made anew', async () => {
      const { header, materialId, sealed } = parseCiphertextBlob(blob)
      const ivBytes = sealed.iv.length
      const body = blob.subarray(header.length)
      const material = (id: string) => headerOf(id, scheme, ivBytes)
      const headers = {
        'another scheme': headerOf(materialId, other, ivBytes),
        'a shorter IV': headerOf(materialId, scheme, ivBytes - 1),
        'a longer IV': headerOf(materialId, scheme, ivBytes + 1),
        'an IV of another scheme': headerOf(materialId, scheme, ivBytes === 12 ? 16 : 12),
        'no IV': headerOf(materialId, scheme, 0),
        'the material of another key': material(parseCiphertextBlob(blobOfOtherKey).materialId),
      }
      for (const [title, edited] of Object.entries(headers))
        expect(await outcome(Buffer.concat([edited, body])), title).to.equal(REFUSED)
      const unknown = Buffer.concat([material('0'.repeat(64)), body])
      expect(await outcome(unknown), 'KMS-37: an unknown material').to.equal(DENIED)
    })

    it('AT-C08: is refused with its parts in another place', async () => {
      const { header, sealed } = parseCiphertextBlob(blob)
      const { iv, ciphertext } = sealed
      const tagBytes = AEAD_SCHEMES[scheme].overheadBytes === 16 ? 16 : 32
      const tag = ciphertext.subarray(-tagBytes)
      const text = ciphertext.subarray(0, -tagBytes)
      const moved = [
        [header, iv, tag, text],
        [header, ciphertext, iv],
        [header, iv, text, tag.subarray(0, -4)],
        [header, iv, tag],
        [
          header,
          iv,
          text,
          parseCiphertextBlob(blobOfOtherKey).sealed.ciphertext.subarray(-tagBytes),
        ],
        [header, parseCiphertextBlob(blobOfOtherKey).sealed.iv, ciphertext],
      ].map((parts) => Buffer.concat(parts))
      expect(await distinct(moved, outcome)).to.deep.equal([REFUSED])
    })

    for (const { title, sealed, opens, refuses } of CONTEXTS)
      it(`AT-C04: opens under its own context alone: ${title}`, async () => {
        const bytes = await encrypt(endpoint, key, sealed)
        const under = (context: Context | undefined) =>
          decrypt(endpoint, bytes, context && { EncryptionContext: context })
        for (const context of [sealed, ...opens])
          expect(await under(context), JSON.stringify(context)).to.equal('opened')
        for (const context of refuses)
          expect(await under(context), JSON.stringify(context)).to.equal(REFUSED)
      })

    it('AT-C03: opens under no other key, named or not', async () => {
      expect(await outcome(blob, { KeyId: otherKey })).to.include('IncorrectKeyException')
      expect(await outcome(blob, { KeyId: key })).to.equal('opened')
    })

    it('AT-C03: does not open under newer material of its own key', async () => {
      await callKms(endpoint, { operation: 'RotateKeyOnDemand', body: { KeyId: key } })
      const newer = parseCiphertextBlob(await encrypt(endpoint, key, CONTEXT))
      const { header } = parseCiphertextBlob(blob)
      expect(newer.header.equals(header)).to.equal(false)
      expect(await outcome(Buffer.concat([newer.header, blob.subarray(header.length)]))).to.equal(
        REFUSED,
      )
      expect(await outcome(blob)).to.equal('opened')
    })

    it('AT-Z01, KMS-37: is denied to a caller of another account, whatever its user may do', async () => {
      const stranger = await daemon.createPrincipal('stranger', {
        account: OTHER_ACCOUNT,
        policy: {
          Version: '2012-10-17',
          Statement: [{ Effect: 'Allow', Action: 'kms:*', Resource: '*' }],
        },
      })
      const asStranger = daemon.endpoint(stranger)
      expect(await decrypt(asStranger, blob, { EncryptionContext: CONTEXT })).to.equal(DENIED)
    })

    it('FM-R11: has cost the daemon no lane', async () => {
      expect(await daemon.lanes()).to.include({ state: 'serving', replaced: 0 })
      expect(await outcome(blob)).to.equal('opened')
    })
  })

/** A header with a check that fits, as anybody can make one. */
function headerOf(materialId: string, scheme: AeadSchemeName, ivBytes: number): Buffer {
  return blobHeader({ materialId, scheme, objects: [], proof: Buffer.alloc(0) }, ivBytes)
}

async function createKey(endpoint: KmsEndpoint): Promise<string> {
  const request = { operation: 'CreateKey', body: {} }
  return (await callKms<{ KeyMetadata: { KeyId: string } }>(endpoint, request)).KeyMetadata.KeyId
}

async function encrypt(
  endpoint: KmsEndpoint,
  KeyId: string,
  context: Context | undefined,
): Promise<Buffer> {
  const body = {
    KeyId,
    Plaintext: PLAINTEXT.toString('base64'),
    ...(context && { EncryptionContext: context }),
  }
  const answer = await callKms<{ CiphertextBlob: string }>(endpoint, { operation: 'Encrypt', body })
  return Buffer.from(answer.CiphertextBlob, 'base64')
}

/** `opened` when it gave the plaintext back, else the exception with its text. */
async function decrypt(endpoint: KmsEndpoint, blob: Buffer, more: object = {}): Promise<string> {
  const body = { CiphertextBlob: blob.toString('base64'), ...more }
  try {
    const { Plaintext } = await callKms<{ Plaintext: string }>(endpoint, {
      operation: 'Decrypt',
      body,
    })
    return Plaintext === PLAINTEXT.toString('base64') ? 'opened' : 'opened as something else'
  } catch (error) {
    const { name, message } = error as Error
    return `${name}: ${message}`
  }
}

/** The different answers to many blobs, several asked at once. */
async function distinct(
  blobs: readonly Buffer[],
  ask: (blob: Buffer) => Promise<string>,
): Promise<string[]> {
  const waiting = [...blobs]
  const answers = new Set<string>()
  const askAll = async () => {
    for (let blob = waiting.pop(); blob; blob = waiting.pop()) answers.add(await ask(blob))
  }
  await Promise.all(Array.from({ length: AT_ONCE }, askAll))
  return [...answers]
}
