import { expect } from 'chai'
import { CustodyError, type CustodyErrorCode } from '../../../src/crypto/custody-error.ts'
import type { XksErrorName } from '../../../src/xks/xks-error.ts'
import { SeededRandom } from '../../support/seeded-random.ts'
import { aadOf, CIPHERTEXTS } from '../golden-vectors.ts'
import { decryptOf, METADATA, PLAINTEXT, refusal, XksRig } from '../rig.ts'

type Request = ReturnType<typeof decryptOf>

const bytes = (base64: string) => Buffer.from(base64, 'base64')
const base64 = (length: number, fill = 0x5a) => Buffer.alloc(length, fill).toString('base64')
const flipped = (text: string, bit: number) => {
  const changed = bytes(text)
  changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return changed.toString('base64')
}

describe('xks Decrypt', () => {
  let rig: XksRig
  let request: Request
  beforeEach(async () => {
    rig = new XksRig()
    request = decryptOf(await rig.encrypt())
    rig.custody.calls.length = 0
  })

  it('answers the plaintext, and the trail names the material', async () => {
    expect(await rig.decrypt(request)).to.deep.equal(PLAINTEXT)
    expect(rig.trail).to.include({ materialId: rig.key.current.materialId, tokenSerial: 'fake' })
    expect(rig.custody.calls).to.deep.equal(['decrypt'])
  })

  it('XKS D-11: ignores a CDIV', async () => {
    const cdiv = {
      ciphertextDataIntegrityValue: base64(32),
      ciphertextDataIntegrityValueAlgorithm: 1,
    }
    expect(await rig.decrypt({ ...request, ...cdiv })).to.deep.equal(PLAINTEXT)
  })

  it('XKS E-13: every material of a rotated key opens its own ciphertexts', async () => {
    const requests = [request]
    for (let round = 0; round < 3; round++) {
      rig.rotate()
      requests.push(decryptOf(await rig.encrypt()))
    }
    for (const [i, one] of requests.entries()) {
      expect(await rig.decrypt(one)).to.deep.equal(PLAINTEXT)
      expect(rig.trail.materialId).to.equal(rig.key.materials[i]?.materialId)
    }
  })

  const missing = ['ciphertext', 'initializationVector', 'authenticationTag', 'encryptionAlgorithm']
  for (const name of missing)
    for (const value of [undefined, null, 1, {}, true])
      it(`XKS D-01, XKS D-04, XKS D-06, XKS D-07: refuses ${name} ${JSON.stringify(value)} with 400 ValidationException`, () =>
        refusal(rig.perform('Decrypt', { ...request, [name]: value }), 400, 'ValidationException'))

  type Refusal = [what: string, changes: object, status: number, errorName: XksErrorName]
  const bad = 'InvalidCiphertextException'
  const refused: Refusal[] = [
    ...[0, 1, 8, 11, 13, 15, 17, 32, 256].map(
      (length): Refusal => [
        `XKS D-06: an IV of ${length} bytes`,
        { initializationVector: base64(length) },
        400,
        bad,
      ],
    ),
    ...[0, 4, 12, 15, 17, 32].map(
      (length): Refusal => [
        `XKS D-07: a tag of ${length} bytes`,
        { authenticationTag: base64(length) },
        400,
        bad,
      ],
    ),
    ['XKS D-02: metadata of 21 bytes', { ciphertextMetadata: base64(21) }, 400, bad],
    [
      'XKS D-03: metadata of 20 bytes that is not ours',
      { ciphertextMetadata: base64(20) },
      400,
      bad,
    ],
    ['AT-C06: no metadata', { ciphertextMetadata: undefined }, 400, bad],
    ['AT-C06: metadata that is null', { ciphertextMetadata: null }, 400, bad],
    ['AT-C06: empty metadata', { ciphertextMetadata: '' }, 400, bad],
    ['metadata that is a number', { ciphertextMetadata: 1 }, 400, 'ValidationException'],
    ['an empty ciphertext', { ciphertext: '' }, 400, bad],
    [
      'a ciphertext of 16,385 bytes',
      { ciphertext: base64(16_385) },
      501,
      'UnsupportedOperationException',
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
    ['XKS D-04: AES_CBC', { encryptionAlgorithm: 'AES_CBC' }, 501, 'UnsupportedOperationException'],
    ...[
      'ciphertext',
      'initializationVector',
      'authenticationTag',
      'ciphertextMetadata',
      'additionalAuthenticatedData',
    ].flatMap((name) =>
      ['aGVsbG8', 'aGVsbG9=', 'aGVs bG8=', '-_-_'].map(
        (text): Refusal => [
          `AT-J07: ${name} ${JSON.stringify(text)}`,
          { [name]: text },
          400,
          'ValidationException',
        ],
      ),
    ),
  ]
  for (const [what, changes, status, errorName] of refused)
    it(`refuses ${what} with ${status} ${errorName} and asks no token`, async () => {
      await refusal(rig.perform('Decrypt', { ...request, ...changes }), status, errorName)
      expect(rig.custody.calls).to.deep.equal([])
    })

  it('XKS D-03, XKS D-05, AT-C01: one flipped bit anywhere is refused, always in one text (AT-C16)', async () => {
    const parts = [
      'ciphertext',
      'initializationVector',
      'authenticationTag',
      'ciphertextMetadata',
      'additionalAuthenticatedData',
    ] as const
    const texts = new Set<string>()
    for (const name of parts)
      for (let bit = 0; bit < bytes(request[name]).length * 8; bit++) {
        const changed = { ...request, [name]: flipped(request[name], bit) }
        texts.add((await refusal(rig.perform('Decrypt', changed), 400, bad)).message)
      }
    texts.add(
      (
        await refusal(
          rig.perform('Decrypt', { ...request, authenticationTag: base64(4) }),
          400,
          bad,
        )
      ).message,
    )
    expect([...texts]).to.have.lengthOf(1)
  })

  it('AT-C02: no part opens cut at any length, or longer', async () => {
    const parts = [
      'ciphertext',
      'initializationVector',
      'authenticationTag',
      'ciphertextMetadata',
      'additionalAuthenticatedData',
    ] as const
    for (const name of parts) {
      const whole = bytes(request[name])
      const longer = [1, 4, 16].map((more) => Buffer.concat([whole, Buffer.alloc(more)]))
      const shorter = Array.from({ length: whole.length }, (_, length) => whole.subarray(0, length))
      for (const changed of [...shorter, ...longer])
        await refusal(
          rig.perform('Decrypt', { ...request, [name]: changed.toString('base64') }),
          400,
          bad,
        )
    }
  })

  it('AT-C05: metadata of any other scheme opens nothing, by a foreign key neither', async () => {
    for (const adopted of [false, true]) {
      rig.key = { ...rig.key, adopted, opensHashedAad: adopted }
      for (let scheme = 0; scheme < 256; scheme++) {
        const md = bytes(request.ciphertextMetadata)
        if (scheme === md[0]) continue
        md[0] = scheme
        const changed = { ...request, ciphertextMetadata: md.toString('base64') }
        await refusal(rig.perform('Decrypt', changed), 400, bad)
      }
    }
  })

  it('XKS D-03, AT-C06: metadata that moves into the AAD is refused', async () => {
    const { ciphertextMetadata: md } = request
    const made = decryptOf(await rig.encrypt({ additionalAuthenticatedData: undefined }))
    const moved = [
      { ...made, additionalAuthenticatedData: md, ciphertextMetadata: undefined },
      { ...made, additionalAuthenticatedData: md },
      { ...made, additionalAuthenticatedData: base64(1) },
    ]
    for (const adopted of [false, true]) {
      rig.key = { ...rig.key, adopted, opensHashedAad: adopted }
      for (const one of moved) await refusal(rig.perform('Decrypt', one), 400, bad)
    }
  })

  it('XKS D-03: metadata that is longer or shorter is refused, by a foreign key too', async () => {
    const md = bytes(request.ciphertextMetadata)
    for (const adopted of [false, true]) {
      rig.key = { ...rig.key, adopted }
      for (const other of [
        md.subarray(1),
        md.subarray(0, -1),
        Buffer.concat([md, Buffer.from([0])]),
      ])
        await refusal(
          rig.perform('Decrypt', { ...request, ciphertextMetadata: other.toString('base64') }),
          400,
          bad,
        )
    }
  })

  it('XKS D-05, AT-C04: AAD that is absent, empty or another is refused', async () => {
    for (const additionalAuthenticatedData of [undefined, '', base64(1), base64(8192)])
      await refusal(rig.perform('Decrypt', { ...request, additionalAuthenticatedData }), 400, bad)
  })

  it('XKS D-08, AT-C08: no byte moves between ciphertext and tag', async () => {
    const ciphertext = bytes(request.ciphertext)
    const tag = bytes(request.authenticationTag)
    const whole = Buffer.concat([ciphertext, tag])
    for (let cut = 1; cut <= whole.length; cut++) {
      if (cut === ciphertext.length) continue
      const moved = {
        ...request,
        ciphertext: whole.subarray(0, cut).toString('base64'),
        authenticationTag: whole.subarray(cut).toString('base64'),
      }
      await refusal(rig.perform('Decrypt', moved), 400, bad)
    }
    expect(rig.custody.calls).to.deep.equal([])
  })

  it('AT-C09, AT-C03: metadata cannot reach the material of another key', async () => {
    const other = rig.newMaterial(Buffer.alloc(32, 99))
    const mine = rig.key
    rig.key = { ...mine, current: other, materials: [other] }
    const theirs = decryptOf(await rig.encrypt())
    rig.key = mine
    rig.custody.calls.length = 0
    await refusal(rig.perform('Decrypt', theirs), 400, bad)
    expect(rig.custody.calls).to.deep.equal([])
    // Another proxy's metadata may look like ours: of an adopted key, its own first material is asked, and refuses.
    rig.key = { ...mine, adopted: true }
    await refusal(rig.perform('Decrypt', theirs), 400, bad)
    expect(rig.custody.calls).to.deep.equal(['decrypt'])
    expect(rig.trail.materialId).to.equal(mine.current.materialId)
  })

  it('AT-C12: two keys with the same material are not interchangeable', async () => {
    const twin = rig.newMaterial(Buffer.alloc(32, 7))
    rig.key = { ...rig.key, current: twin, materials: [twin] }
    await refusal(rig.perform('Decrypt', request), 400, bad)
    const ciphertextMetadata = (await rig.encrypt()).ciphertextMetadata
    await refusal(rig.perform('Decrypt', { ...request, ciphertextMetadata }), 400, bad)
  })

  it('XKS E-19: a key without DECRYPT does not decrypt', async () => {
    for (const keyUsage of [['ENCRYPT'], []] as const) {
      rig.key = { ...rig.key, keyUsage }
      await refusal(rig.perform('Decrypt', request), 400, 'InvalidKeyUsageException')
    }
    expect(rig.custody.calls).to.deep.equal([])
  })

  it('XKS D-09: a plaintext of another length is not answered, and wiped', async () => {
    for (const length of [PLAINTEXT.length - 1, PLAINTEXT.length + 1, 0]) {
      const plaintext = Buffer.alloc(length, 0x41)
      rig.custody.decrypt = async () => plaintext
      await refusal(rig.perform('Decrypt', request), 500, 'InternalException')
      expect(plaintext.every((byte) => byte === 0)).to.equal(true)
    }
  })

  it('XKS D-10: the plaintext is wiped when it has been answered', async () => {
    const plaintext = Buffer.from(PLAINTEXT)
    rig.custody.decrypt = async () => plaintext
    expect(await rig.decrypt(request)).to.deep.equal(PLAINTEXT)
    expect(plaintext.every((byte) => byte === 0)).to.equal(true)
  })

  const failures: [CustodyErrorCode, number, XksErrorName][] = [
    ['CIPHERTEXT_REJECTED', 400, 'InvalidCiphertextException'],
    ['KEY_UNAVAILABLE', 500, 'InternalException'],
    ['DEVICE_GONE', 500, 'InternalException'],
    ['KEY_USAGE', 400, 'InvalidKeyUsageException'],
    ['CAPACITY', 429, 'ThrottlingException'],
    ['DEADLINE', 503, 'DependencyTimeoutException'],
  ]
  for (const [code, status, errorName] of failures)
    it(`XKS X-16: ${code} is ${status} ${errorName}, after one call also of an adopted key`, async () => {
      const fail = () => {
        throw new CustodyError(code, 'C_Decrypt said CKR_DETAIL')
      }
      rig.custody.beforeNext('decrypt', fail)
      rig.key = { ...rig.key, adopted: true, opensHashedAad: true }
      const error = await refusal(rig.perform('Decrypt', request), status, errorName)
      expect(error.message).not.to.contain('CKR')
      expect(rig.custody.calls).to.deep.equal(['decrypt'])
    })

  describe('of an adopted key', () => {
    const { value } = CIPHERTEXTS.keys.adopted
    const hashed = CIPHERTEXTS.ciphertexts.filter(({ title }) =>
      title.startsWith('adopted, hashed'),
    )
    const literal = CIPHERTEXTS.ciphertexts.filter(({ title }) =>
      title.startsWith('adopted, literal'),
    )
    beforeEach(() => {
      rig = new XksRig(Buffer.from(value, 'hex'))
      rig.key = { ...rig.key, adopted: true }
      rig.rotate()
    })

    for (const one of literal)
      it(`opens: ${one.title}`, async () => {
        expect(await rig.decrypt(goldenRequest(one))).to.deep.equal(bytes(one.plaintext))
        expect(rig.trail.materialId).to.equal(rig.key.materials[0]?.materialId)
      })

    for (const one of hashed)
      it(`opens in the compatible mode only: ${one.title}`, async () => {
        // An absent AAD has no digest, so there the two ways are one.
        if (one.aadBytes !== null)
          await refusal(rig.perform('Decrypt', goldenRequest(one)), 400, bad)
        rig.key = { ...rig.key, opensHashedAad: true }
        expect(await rig.decrypt(goldenRequest(one))).to.deep.equal(bytes(one.plaintext))
      })

    it('AT-D03: costs one token call in the compatible mode, good or bad', async () => {
      const [one] = hashed.filter(({ aadBytes }) => aadBytes === 8192)
      if (!one) throw new TypeError('no such vector')
      rig.key = { ...rig.key, opensHashedAad: true }
      rig.custody.calls.length = 0
      await rig.decrypt(goldenRequest(one))
      const bad32 = { ...goldenRequest(one), authenticationTag: base64(16) }
      await refusal(rig.perform('Decrypt', bad32), 400, bad)
      expect(rig.custody.calls).to.deep.equal(['decrypt', 'decrypt'])
    })

    for (const one of literal)
      if (one.aadBytes !== null)
        it(`is opened in one way only, by what the key came from: ${one.title}`, async () => {
          rig.key = { ...rig.key, opensHashedAad: true }
          await refusal(rig.perform('Decrypt', goldenRequest(one)), 400, bad)
        })

    it('the digest sent as AAD does not open what was made with the AAD', async () => {
      const [one] = hashed.filter(({ aadBytes }) => aadBytes === 8192)
      if (!one) throw new TypeError('no such vector')
      rig.key = { ...rig.key, opensHashedAad: true }
      const request = { ...goldenRequest(one), additionalAuthenticatedData: base64(32) }
      await refusal(rig.perform('Decrypt', request), 400, bad)
    })

    it('what we make ourselves is never read in the compatible mode', async () => {
      rig.key = { ...rig.key, opensHashedAad: true }
      const made = decryptOf(await rig.encrypt())
      expect(await rig.decrypt(made)).to.deep.equal(PLAINTEXT)
      rig.custody.calls.length = 0
      await refusal(rig.perform('Decrypt', { ...made, authenticationTag: base64(16) }), 400, bad)
      expect(rig.custody.calls).to.deep.equal(['decrypt'])
    })
  })

  describe('golden ciphertexts of version 1', () => {
    const { materialId, value } = CIPHERTEXTS.keys.own
    const own = CIPHERTEXTS.ciphertexts.filter(({ key }) => key === 'own')
    it('are 13', () => expect(own).to.have.lengthOf(13))
    for (const one of own)
      it(`XKS E-13, AT-C18: opens ${one.title}`, async () => {
        const material = rig.newMaterial(Buffer.from(value, 'hex'), materialId)
        rig.key = { ...rig.key, current: material, materials: [material] }
        expect(await rig.decrypt(goldenRequest(one))).to.deep.equal(bytes(one.plaintext))
      })
  })

  it('XKS D-03, XKS D-05: random changes of random requests are refused, and the unchanged open', async () => {
    const random = new SeededRandom()
    for (let round = 0; round < 200; round++) {
      const plaintext = Buffer.alloc(random.between(1, 200), random.between(0, 256))
      const aad = base64(Math.floor(random.between(0, 64)), random.between(0, 256))
      const made = await rig.encrypt({
        plaintext: plaintext.toString('base64'),
        additionalAuthenticatedData: aad,
      })
      const whole = { ...decryptOf(made), additionalAuthenticatedData: aad }
      expect(await rig.decrypt(whole)).to.deep.equal(plaintext)
      const name = random.pick(['ciphertext', 'initializationVector', 'authenticationTag'] as const)
      const bit = Math.floor(random.between(0, bytes(whole[name]).length * 8))
      const changed = { ...whole, [name]: flipped(whole[name], bit) }
      await refusal(rig.perform('Decrypt', changed), 400, bad)
    }
  })
})

function goldenRequest(one: (typeof CIPHERTEXTS.ciphertexts)[number]) {
  return {
    requestMetadata: { ...METADATA, kmsOperation: 'Decrypt' },
    encryptionAlgorithm: 'AES_GCM',
    additionalAuthenticatedData: aadOf(one.aadBytes)?.toString('base64'),
    ciphertext: one.ciphertext,
    initializationVector: one.iv,
    authenticationTag: one.tag,
    ciphertextMetadata: one.metadata,
  }
}
