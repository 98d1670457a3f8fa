import { hash } from 'node:crypto'
import { expect } from 'chai'
import { CustodyError, type CustodyErrorCode } from '../../../src/crypto/custody-error.ts'
import type { KeyCustody, Sealed } from '../../../src/crypto/key-custody.ts'
import { ciphertextMetadata } from '../../../src/xks/ciphertext-metadata.ts'
import { XksError, type XksErrorName } from '../../../src/xks/xks-error.ts'
import { SeededRandom } from '../../support/seeded-random.ts'
import {
  AAD,
  decryptOf,
  ENCRYPT,
  type EncryptReply,
  KEY_ID,
  METADATA,
  PLAINTEXT,
  refusal,
  XksRig,
} from '../rig.ts'

const bytes = (base64: string) => Buffer.from(base64, 'base64')
const base64 = (length: number) => Buffer.alloc(length, 0x5a).toString('base64')
const CDIV = { ciphertextDataIntegrityValueAlgorithm: 'SHA_256' } as const

describe('xks Encrypt', () => {
  let rig: XksRig
  beforeEach(() => {
    rig = new XksRig()
  })

  it('XKS E-06, XKS E-07, XKS E-08, XKS E-09: answers ciphertext, IV, tag and metadata, and nothing else', async () => {
    const reply = await rig.encrypt()
    expect(Object.keys(reply)).to.deep.equal([
      'ciphertext',
      'initializationVector',
      'authenticationTag',
      'ciphertextMetadata',
    ])
    expect(bytes(reply.ciphertext)).to.have.lengthOf(PLAINTEXT.length)
    expect(bytes(reply.initializationVector)).to.have.lengthOf(12)
    expect(bytes(reply.authenticationTag)).to.have.lengthOf(16)
    expect(bytes(reply.ciphertextMetadata)).to.deep.equal(ciphertextMetadata(rig.key.current))
    expect(await rig.decrypt(decryptOf(reply))).to.deep.equal(PLAINTEXT)
  })

  it('XKS E-05, XKS E-14: with CDIV the value covers AAD, metadata, IV, ciphertext and tag', async () => {
    const reply = await rig.encrypt(CDIV)
    const { ciphertextMetadata: md, initializationVector, ciphertext, authenticationTag } = reply
    const parts = [md, initializationVector, ciphertext, authenticationTag].map(bytes)
    expect(reply.ciphertextDataIntegrityValue).to.equal(
      hash('sha256', Buffer.concat([AAD, ...parts]), 'base64'),
    )
    expect(await rig.decrypt(decryptOf(reply))).to.deep.equal(PLAINTEXT)
  })

  it('XKS E-15: with CDIV it is verified in one visit, without it is not', async () => {
    await rig.encrypt(CDIV)
    await rig.encrypt()
    await rig.encrypt({ ciphertextDataIntegrityValueAlgorithm: null })
    expect(rig.custody.calls).to.deep.equal(['encryptVerified', 'encrypt', 'encrypt'])
  })

  it('XKS E-01, XKS E-02, XKS E-04, XKS E-06: every size that is allowed opens again', async () => {
    const random = new SeededRandom()
    const sizes = [
      [1, 0],
      [4300, 8192],
      [4301, 1],
      [16_384, 65_535],
      ...Array.from({ length: 60 }, () => [random.between(1, 5000), random.between(0, 9000)]),
    ] as [number, number][]
    for (const [plaintextBytes, aadBytes] of sizes) {
      const plaintext = Buffer.alloc(plaintextBytes, random.between(0, 256))
      const additionalAuthenticatedData = base64(aadBytes)
      const cdiv = random.next() < 0.5 ? CDIV : {}
      const reply = await rig.encrypt({
        plaintext: plaintext.toString('base64'),
        additionalAuthenticatedData,
        ...cdiv,
      })
      expect(bytes(reply.ciphertext)).to.have.lengthOf(plaintext.length)
      const opened = await rig.decrypt({ ...decryptOf(reply), additionalAuthenticatedData })
      expect(opened.equals(plaintext), `seed ${random.seed}`).to.equal(true)
    }
  })

  it('XKS E-11: AAD that is absent, null or empty is the same to the token', async () => {
    for (const made of [undefined, null, ''])
      for (const opened of [undefined, null, '']) {
        const reply = await rig.encrypt({ additionalAuthenticatedData: made })
        const request = { ...decryptOf(reply), additionalAuthenticatedData: opened }
        expect(await rig.decrypt(request)).to.deep.equal(PLAINTEXT)
      }
  })

  it('XKS E-10: the metadata is authenticated with the AAD', async () => {
    const { ciphertextMetadata: md, ...rest } = decryptOf(await rig.encrypt())
    const flipped = bytes(md)
    flipped[1] = (flipped[1] ?? 0) ^ 1
    const [first] = rig.key.materials
    // Material whose id differs in that bit but whose key is the same.
    const materialId = flipped.toString('hex', 1) + first?.materialId.slice(32)
    const twin = rig.newMaterial(undefined, materialId)
    rig.key = { ...rig.key, materials: [...rig.key.materials, twin] }
    const ciphertextMetadata = flipped.toString('base64')
    await refusal(
      rig.perform('Decrypt', { ...rest, ciphertextMetadata }),
      400,
      'InvalidCiphertextException',
    )
    expect(rig.custody.calls).to.deep.equal(['encrypt', 'decrypt'])
  })

  it('XKS E-13: each material has metadata of its own, and the trail names it', async () => {
    const before = await rig.encrypt()
    rig.rotate()
    const after = await rig.encrypt()
    expect(after.ciphertextMetadata).not.to.equal(before.ciphertextMetadata)
    expect(rig.trail).to.include({
      materialId: rig.key.current.materialId,
      tokenSerial: 'fake',
    })
  })

  type Refusal = [what: string, changes: object, status: number, errorName: XksErrorName]
  const refused: Refusal[] = [
    ['XKS E-01: no plaintext', { plaintext: undefined }, 400, 'ValidationException'],
    ['a plaintext that is null', { plaintext: null }, 400, 'ValidationException'],
    ['a plaintext that is a number', { plaintext: 1 }, 400, 'ValidationException'],
    ['an empty plaintext', { plaintext: '' }, 400, 'ValidationException'],
    [
      'XKS E-02: a byte too many',
      { plaintext: base64(16_385) },
      501,
      'UnsupportedOperationException',
    ],
    [
      'XKS E-02: three bytes too many',
      { plaintext: base64(16_387) },
      501,
      'UnsupportedOperationException',
    ],
    ['XKS E-03: no algorithm', { encryptionAlgorithm: undefined }, 400, 'ValidationException'],
    [
      'XKS E-03: an algorithm that is a number',
      { encryptionAlgorithm: 1 },
      400,
      'ValidationException',
    ],
    ['XKS E-03: AES_CBC', { encryptionAlgorithm: 'AES_CBC' }, 501, 'UnsupportedOperationException'],
    [
      'XKS E-05: CDIV of SHA_512',
      { ciphertextDataIntegrityValueAlgorithm: 'SHA_512' },
      400,
      'ValidationException',
    ],
    [
      'XKS E-05: CDIV of nothing',
      { ciphertextDataIntegrityValueAlgorithm: '' },
      400,
      'ValidationException',
    ],
    [
      'XKS E-05: CDIV of a number',
      { ciphertextDataIntegrityValueAlgorithm: 256 },
      400,
      'ValidationException',
    ],
    [
      'AT-C14: AAD of 65,536 bytes',
      { additionalAuthenticatedData: base64(65_536) },
      501,
      'UnsupportedOperationException',
    ],
    [
      'AT-C14: AAD of 131,072 bytes',
      { additionalAuthenticatedData: base64(131_072) },
      501,
      'UnsupportedOperationException',
    ],
    ['AAD that is a list', { additionalAuthenticatedData: [] }, 400, 'ValidationException'],
    ...[
      'aGVsbG8',
      'aGVsbG9=',
      'aGVs bG8=',
      'aGVsbG8=\n',
      '-_-_',
      'aGVsbG8=aGVs',
      'aGVsbG8==',
      '====',
      '\u00e9AAA',
    ].flatMap((text): Refusal[] => [
      [
        `AT-J07: plaintext ${JSON.stringify(text)}`,
        { plaintext: text },
        400,
        'ValidationException',
      ],
      [
        `AT-J07: AAD ${JSON.stringify(text)}`,
        { additionalAuthenticatedData: text },
        400,
        'ValidationException',
      ],
    ]),
  ]
  for (const [what, changes, status, errorName] of refused)
    it(`refuses ${what} with ${status} ${errorName} and asks no token`, async () => {
      await refusal(rig.perform('Encrypt', { ...ENCRYPT, ...changes }), status, errorName)
      expect(rig.custody.calls).to.deep.equal([])
    })

  it('XKS E-19: a key without ENCRYPT does not encrypt', async () => {
    for (const keyUsage of [['DECRYPT'], []] as const) {
      rig.key = { ...rig.key, keyUsage }
      for (const body of [ENCRYPT, { ...ENCRYPT, ...CDIV }])
        await refusal(rig.perform('Encrypt', body), 400, 'InvalidKeyUsageException')
    }
    expect(rig.custody.calls).to.deep.equal([])
  })

  it('XKS E-17: a key without DECRYPT encrypts, but not with CDIV', async () => {
    rig.key = { ...rig.key, keyUsage: ['ENCRYPT'] }
    await rig.encrypt()
    await refusal(rig.perform('Encrypt', { ...ENCRYPT, ...CDIV }), 400, 'InvalidKeyUsageException')
    expect(rig.custody.calls).to.deep.equal(['encrypt'])
  })

  describe('the budget of encryptions', () => {
    it('is spent once for each, and waited for', async () => {
      const spent: string[] = []
      const spend: typeof rig.parts.spend = async (store, { externalKeyId }) => {
        await Promise.resolve()
        expect(rig.custody.calls).to.deep.equal([])
        spent.push(`${store.name}/${externalKeyId}`)
      }
      rig.parts = { ...rig.parts, spend }
      await rig.encrypt(CDIV)
      expect(spent).to.deep.equal([`shop/${KEY_ID}`])
    })

    it('ends encryption, and not decryption', async () => {
      const reply = await rig.encrypt()
      const spend = () => Promise.reject(new XksError('InvalidStateException', 'Used up.'))
      rig.parts = { ...rig.parts, spend }
      await refusal(rig.perform('Encrypt', ENCRYPT), 400, 'InvalidStateException')
      expect(rig.custody.countOf('encrypt')).to.equal(1)
      expect(await rig.decrypt(decryptOf(reply))).to.deep.equal(PLAINTEXT)
    })

    it('is not touched by a request that is refused', async () => {
      const spend = () => expect.fail('was asked')
      rig.parts = { ...rig.parts, spend }
      rig.key = { ...rig.key, keyUsage: [] }
      await refusal(rig.perform('Encrypt', ENCRYPT), 400, 'InvalidKeyUsageException')
      await refusal(
        rig.perform('Encrypt', { ...ENCRYPT, plaintext: '' }),
        400,
        'ValidationException',
      )
    })
  })

  describe('what the token gives is not believed', () => {
    const sealed = { iv: Buffer.alloc(12, 1), ciphertext: Buffer.alloc(PLAINTEXT.length + 16, 2) }
    const lies: [what: string, lie: Sealed][] = [
      ['XKS E-08: an IV of zeros', { ...sealed, iv: Buffer.alloc(12) }],
      ['XKS E-08: an IV of 16 zeros', { ...sealed, iv: Buffer.alloc(16) }],
      ['XKS E-08: an IV of 13 bytes', { ...sealed, iv: Buffer.alloc(13, 1) }],
      ['XKS E-08: no IV', { ...sealed, iv: Buffer.alloc(0) }],
      ['XKS E-06: a byte less', { ...sealed, ciphertext: sealed.ciphertext.subarray(1) }],
      ['XKS E-06: a byte more', { ...sealed, ciphertext: Buffer.alloc(PLAINTEXT.length + 17, 2) }],
    ]
    const giving = (answer: Sealed): KeyCustody => {
      rig.custody.encrypt = async () => answer
      rig.custody.encryptVerified = async () => ({ ...answer, digest: Buffer.alloc(32) })
      return rig.custody
    }
    for (const [what, lie] of lies)
      it(`${what}: 500 InternalException`, async () => {
        rig.parts = { ...rig.parts, custody: giving(lie) }
        for (const body of [ENCRYPT, { ...ENCRYPT, ...CDIV }])
          await refusal(rig.perform('Encrypt', body), 500, 'InternalException')
      })

    it('an IV of 16 bytes is right', async () => {
      rig.parts = { ...rig.parts, custody: giving({ ...sealed, iv: Buffer.alloc(16, 1) }) }
      expect(bytes((await rig.encrypt()).initializationVector)).to.have.lengthOf(16)
    })
  })

  const failures: [CustodyErrorCode, number, XksErrorName][] = [
    ['CIPHERTEXT_REJECTED', 500, 'InternalException'],
    ['KEY_UNAVAILABLE', 500, 'InternalException'],
    ['KEY_USAGE', 400, 'InvalidKeyUsageException'],
    ['CAPACITY', 429, 'ThrottlingException'],
    ['DEADLINE', 503, 'DependencyTimeoutException'],
    ['TOKEN_LIED', 500, 'InternalException'],
  ]
  for (const [code, status, errorName] of failures)
    it(`XKS X-16: ${code} is ${status} ${errorName}, and the trail names the material`, async () => {
      rig.custody.beforeNext('encryptVerified', () => {
        throw new CustodyError(code, 'C_Encrypt said CKR_DETAIL')
      })
      const error = await refusal(
        rig.perform('Encrypt', { ...ENCRYPT, ...CDIV }),
        status,
        errorName,
      )
      expect(error.message).not.to.contain('CKR')
      expect(error.cause).to.be.instanceOf(CustodyError)
      expect(rig.trail.materialId).to.equal(rig.key.current.materialId)
    })

  it('XKS E-18: the plaintext is wiped, whether it worked or not', async () => {
    const seen: Buffer[] = []
    const encrypt = rig.custody.encrypt.bind(rig.custody)
    rig.custody.encrypt = (material, plaintext, aad) => {
      seen.push(plaintext)
      expect(plaintext).to.deep.equal(PLAINTEXT)
      return encrypt(material, plaintext, aad)
    }
    await rig.encrypt()
    rig.custody.beforeNext('encrypt', () => {
      throw new CustodyError('DEVICE_GONE', 'gone')
    })
    await refusal(rig.perform('Encrypt', ENCRYPT), 500, 'InternalException')
    expect(seen).to.have.lengthOf(2)
    for (const plaintext of seen) expect(plaintext.every((byte) => byte === 0)).to.equal(true)
  })

  it('XKS M-06: the trail has the metadata', async () => {
    await rig.encrypt()
    expect(rig.trail.requestMetadata).to.include(METADATA)
  })

  it('XKS X-11: a late token is DependencyTimeoutException', async () => {
    rig.parts = { ...rig.parts, deadlineMs: 5 }
    const { promise, resolve } = Promise.withResolvers<void>()
    rig.custody.beforeNext('encrypt', () => promise)
    await refusal(rig.perform('Encrypt', ENCRYPT), 503, 'DependencyTimeoutException')
    resolve()
    const reply: EncryptReply = await rig.encrypt()
    expect(await rig.decrypt(decryptOf(reply))).to.deep.equal(PLAINTEXT)
  })
})
