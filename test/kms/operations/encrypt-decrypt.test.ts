import { expect } from 'chai'
import { CustodyError } from '../../../src/crypto/custody-error.ts'
import { newTrail } from '../../../src/kms/audit-trail.ts'
import { blobHeader } from '../../../src/kms/ciphertext-blob.ts'
import { ALICE, allowing, caller, expectKmsError, OTHER_ACCOUNT, Rig, statement } from '../rig.ts'

const UNKNOWN =
  'The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.'

describe('Encrypt and Decrypt', () => {
  let rig: Rig
  let key: { keyId: string; arn: string }
  beforeEach(async () => {
    rig = await new Rig().start()
    key = await rig.makeKey()
  })
  afterEach(() => rig.remove())

  it('KMS-38: reply with exactly what AWS replies', async () => {
    const encrypted = await rig.ask('Encrypt', { keyId: key.keyId, plaintext: Buffer.from('x') })
    expect(encrypted).to.have.all.keys('ciphertextBlob', 'keyId', 'encryptionAlgorithm')
    expect(encrypted).to.include({ keyId: key.arn, encryptionAlgorithm: 'SYMMETRIC_DEFAULT' })
    const decrypted = await rig.ask('Decrypt', { ciphertextBlob: encrypted.ciphertextBlob })
    expect(decrypted).to.deep.equal({
      keyId: key.arn,
      plaintext: Buffer.from('x'),
      encryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      keyMaterialId: rig.storage.snapshot.findKey(key.arn)?.currentMaterialId,
    })
  })

  it('makes another ciphertext each time', async () => {
    const [a, b] = [await rig.encrypt(key.keyId), await rig.encrypt(key.keyId)]
    expect(a).not.to.deep.equal(b)
  })

  it('AT-C01: every flipped bit is InvalidCiphertextException without a message, or names no key', async function () {
    this.timeout(30_000)
    const blob = await rig.encrypt(key.keyId, 'x'.repeat(200))
    for (let bit = 0; bit < blob.length * 8; bit++) {
      const edited = Buffer.from(blob)
      edited[bit >> 3] = (edited[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      await expectKmsError(rig.decrypt(edited), 'InvalidCiphertextException', undefined)
    }
  })

  it('AT-C02: refuses a blob of any other length', async () => {
    const blob = await rig.encrypt(key.keyId)
    for (let length = 0; length < blob.length; length++)
      await expectKmsError(rig.decrypt(blob.subarray(0, length)), 'InvalidCiphertextException')
    await expectKmsError(
      rig.decrypt(Buffer.concat([blob, Buffer.alloc(1)])),
      'InvalidCiphertextException',
    )
  })

  it('AT-C05: refuses a swapped scheme and another IV length under a fitting check', async () => {
    const blob = await rig.encrypt(key.keyId)
    const material = rig.storage.snapshot.materialsOf(key.arn)[0]?.material
    if (!material) return expect.fail('no material')
    const headers = [
      blobHeader({ ...material, scheme: 'AES_CBC_HMAC' }, 12),
      blobHeader(material, 11),
      blobHeader(material, 16),
    ]
    for (const header of headers)
      await expectKmsError(
        rig.decrypt(Buffer.concat([header, blob.subarray(header.length)])),
        'InvalidCiphertextException',
      )
  })

  const wrongContexts: [string, object | undefined][] = [
    ['none', undefined],
    ['an extra pair', { a: 'bc', d: '' }],
    ['another boundary', { ab: 'c' }],
    ['another case', { A: 'bc' }],
    ['an empty value', { a: '' }],
  ]
  for (const [what, encryptionContext] of wrongContexts)
    it(`AT-C04: refuses a wrong encryption context: ${what}`, async () => {
      const blob = await rig.encrypt(key.keyId, 'x', { encryptionContext: { a: 'bc' } })
      const input = { ciphertextBlob: blob, encryptionContext }
      await expectKmsError(rig.ask('Decrypt', input), 'InvalidCiphertextException', undefined)
    })

  it('AT-C04: takes the members of the encryption context in any order', async () => {
    const blob = await rig.encrypt(key.keyId, 'x', { encryptionContext: { a: '1', b: '2' } })
    expect(await rig.decrypt(blob, { encryptionContext: { b: '2', a: '1' } })).to.equal('x')
  })

  it('AT-C12: the same material under two keys is not interchangeable', async () => {
    const twin = await rig.makeKey()
    const [from, to] = [key, twin].map(
      ({ arn }) => rig.storage.snapshot.materialsOf(arn)[0]?.material,
    )
    if (!from || !to) return expect.fail('no material')
    rig.custody.share(from.materialId, to.materialId)
    const blob = await rig.encrypt(key.keyId)
    expect(await rig.decrypt(blob)).to.equal('secret')
    const readdressed = Buffer.concat([
      blobHeader(to, 12),
      blob.subarray(blobHeader(to, 12).length),
    ])
    await expectKmsError(rig.decrypt(readdressed), 'InvalidCiphertextException')
  })

  it('KMS-37: a blob that names a key of nowhere, or of another region, is AccessDeniedException', async () => {
    const blob = await rig.encrypt(key.keyId)
    const stranger = Buffer.concat([
      blobHeader({ materialId: '00'.repeat(32), scheme: 'AES_GCM', objects: [], proof: blob }, 12),
      blob.subarray(43),
    ])
    await expectKmsError(rig.decrypt(stranger), 'AccessDeniedException', UNKNOWN)
    const elsewhere = { ...ALICE, region: 'us-east-1' }
    await expectKmsError(rig.decrypt(blob, {}, { by: elsewhere }), 'AccessDeniedException', UNKNOWN)
    expect(rig.custody.countOf('decrypt')).to.equal(0)
  })

  it('AT-Z02: a caller of another account hears the same of an existing key', async () => {
    const blob = await rig.encrypt(key.keyId)
    const abroad = caller('bob', [allowing('kms:*')], { accountId: OTHER_ACCOUNT })
    await expectKmsError(rig.decrypt(blob, {}, { by: abroad }), 'AccessDeniedException', UNKNOWN)
  })

  it('a caller of another account decrypts without a KeyId when both sides allow it', async () => {
    const abroad = caller('bob', [allowing('kms:Decrypt')], { accountId: OTHER_ACCOUNT })
    const shared = await rig.makeKey({
      policy: statement({
        Effect: 'Allow',
        Principal: { AWS: [ALICE.arn, abroad.arn] },
        Action: 'kms:*',
        Resource: '*',
      }),
    })
    const blob = await rig.encrypt(shared.arn)
    expect(await rig.decrypt(blob, {}, { by: abroad })).to.equal('secret')
  })

  it('KMS-36: a KeyId may only confirm what the blob says, and is looked at before the state', async () => {
    const other = await rig.makeKey()
    const blob = await rig.encrypt(key.keyId)
    expect(await rig.decrypt(blob, { keyId: key.arn })).to.equal('secret')
    await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId })
    await expectKmsError(
      rig.decrypt(blob, { keyId: other.keyId }),
      'IncorrectKeyException',
      'The key ID in the request does not identify a CMK that can perform this operation.',
    )
    await expectKmsError(rig.decrypt(blob, { keyId: 'nonsense' }), 'NotFoundException')
    const absent = '1234abcd-12ab-34cd-56ef-1234567890ab'
    await expectKmsError(rig.decrypt(blob, { keyId: absent }), 'NotFoundException')
  })

  it('a stranger learns nothing of the state: authorization comes before it', async () => {
    const blob = await rig.encrypt(key.keyId)
    await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId })
    const nobody = caller('nobody', [])
    await expectKmsError(rig.decrypt(blob, {}, { by: nobody }), 'AccessDeniedException')
  })

  it('KMS-28: refuses an algorithm that the key does not know', async () => {
    const input = { encryptionAlgorithm: 'RSAES_OAEP_SHA_256' }
    const message = 'Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT.'
    const blob = await rig.encrypt(key.keyId)
    await expectKmsError(rig.encrypt(key.keyId, 'x', input), 'InvalidKeyUsageException', message)
    await expectKmsError(rig.decrypt(blob, input), 'InvalidKeyUsageException', message)
  })

  it('refuses grant tokens and Recipient, which nobody can have yet', async () => {
    const blob = await rig.encrypt(key.keyId, 'x', { grantTokens: [] })
    await expectKmsError(
      rig.encrypt(key.keyId, 'x', { grantTokens: ['token'] }),
      'InvalidGrantTokenException',
    )
    await expectKmsError(rig.decrypt(blob, { recipient: {} }), 'UnsupportedOperationException')
  })

  it('KMS-62 AT-Z14: DryRun passes every check and never asks the token', async () => {
    const blob = await rig.encrypt(key.keyId)
    const before = rig.custody.calls.length
    const { version } = rig.storage.snapshot
    const message = 'The request would have succeeded, but the DryRun option is set.'
    const dryRun = { keyId: key.keyId, dryRun: true }
    await expectKmsError(rig.encrypt(key.keyId, 'x', dryRun), 'DryRunOperationException', message)
    await expectKmsError(rig.decrypt(blob, dryRun), 'DryRunOperationException', message)
    await expectKmsError(
      rig.ask('GenerateDataKey', { ...dryRun, keySpec: 'AES_256' }),
      'DryRunOperationException',
      message,
    )
    await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId })
    await expectKmsError(rig.encrypt(key.keyId, 'x', dryRun), 'KMSInvalidStateException')
    expect(rig.custody.calls).to.have.lengthOf(before)
    expect(rig.storage.snapshot.version).to.equal(version + 1)
  })

  it('what fails in the token is told by a table and without its words', async () => {
    const blob = await rig.encrypt(key.keyId)
    rig.custody.beforeNext('decrypt', () => {
      throw new CustodyError('DEVICE_GONE', 'C_Decrypt said CKR_DEVICE_REMOVED', { ckr: 0x32 })
    })
    const outcome = rig.decrypt(blob)
    await expectKmsError(outcome, 'KeyUnavailableException')
    const error = await outcome.catch((thrown: Error) => thrown)
    expect((error as Error).message).not.to.contain('CKR')
    expect((error as Error).cause).to.be.instanceOf(CustodyError)
  })

  it('leaves no plaintext and no ciphertext in the trail, and the deciding statement', async () => {
    const trail = newTrail()
    const encryptionContext = { a: 'b' }
    const input = { keyId: key.keyId, plaintext: Buffer.from('canary'), encryptionContext }
    await rig.ask('Encrypt', input, { trail })
    expect(trail.parameters).to.deep.equal({ keyId: key.keyId, encryptionContext })
    expect(trail.resources).to.deep.equal([key.arn])
    expect(trail).to.include({ readOnly: true, response: undefined })
    expect(trail.decision).to.deep.include({ allowed: true, by: 'identity-policy' })
    expect(JSON.stringify(trail)).not.to.contain('canary')
  })

  it('AT-Z09: an operation that began on an enabled key ends on what it began with', async () => {
    const blob = await rig.encrypt(key.keyId)
    rig.custody.beforeNext('decrypt', async () => {
      await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId })
    })
    expect(await rig.decrypt(blob)).to.equal('secret')
    await expectKmsError(rig.decrypt(blob), 'KMSInvalidStateException')
  })
})
