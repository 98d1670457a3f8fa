import { expect } from 'chai'
import { newTrail } from '../../../src/kms/audit-trail.ts'
import { CustodyError } from '../../../src/crypto/custody-error.ts'
import { exceptionOf } from '../exception-of.ts'
import { putInState } from '../keys-in-state.ts'
import {
  ACCOUNT,
  ALICE,
  allowing,
  caller,
  expectKmsError,
  OTHER_ACCOUNT,
  REGION,
  Rig,
  statement,
} from '../rig.ts'

const DRY_RUN = 'The request would have succeeded, but the DryRun option is set.'

describe('ReEncrypt', () => {
  let rig: Rig
  let source: { keyId: string; arn: string }
  let destination: { keyId: string; arn: string }
  let blob: Buffer
  beforeEach(async () => {
    rig = await new Rig().start()
    source = await rig.makeKey()
    destination = await rig.makeKey()
    blob = await rig.encrypt(source.keyId, 'secret', { encryptionContext: { from: 'here' } })
  })
  afterEach(() => rig.remove())

  const request = (input: object = {}) => ({
    ciphertextBlob: blob,
    sourceEncryptionContext: { from: 'here' },
    destinationKeyId: destination.keyId,
    destinationEncryptionContext: { to: 'there' },
    ...input,
  })
  const reEncrypt = (input: object = {}, by = ALICE) => rig.ask('ReEncrypt', request(input), { by })

  it('KMS-38: replies with both keys, both algorithms and both materials', async () => {
    await rig.ask('RotateKeyOnDemand', { keyId: source.keyId })
    const [oldest] = rig.storage.snapshot.materialsOf(source.arn)
    const { ciphertextBlob, ...reply } = await reEncrypt()
    expect(reply).to.deep.equal({
      sourceKeyId: source.arn,
      keyId: destination.arn,
      sourceEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      destinationEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      sourceKeyMaterialId: oldest?.material.materialId,
      destinationKeyMaterialId: rig.storage.snapshot.findKey(destination.arn)?.currentMaterialId,
    })
    expect(await rig.decrypt(ciphertextBlob, { encryptionContext: { to: 'there' } })).to.equal(
      'secret',
    )
    await expectKmsError(
      rig.decrypt(ciphertextBlob, { encryptionContext: { from: 'here' } }),
      'InvalidCiphertextException',
    )
  })

  it('changes the context under one key', async () => {
    const { ciphertextBlob } = await reEncrypt({ destinationKeyId: source.arn })
    expect(await rig.decrypt(ciphertextBlob, { encryptionContext: { to: 'there' } })).to.equal(
      'secret',
    )
  })

  it('KMS-13: takes ids, ARNs, alias names and alias ARNs for both keys', async () => {
    const forms = async (arn: string, name: string) => {
      await rig.ask('CreateAlias', { aliasName: `alias/${name}`, targetKeyId: arn })
      return [arn, `alias/${name}`, `arn:aws:kms:${REGION}:${ACCOUNT}:alias/${name}`]
    }
    const sources = [source.keyId, ...(await forms(source.arn, 'from'))]
    const destinations = [destination.keyId, ...(await forms(destination.arn, 'to'))]
    for (const [i, sourceKeyId] of sources.entries()) {
      const { keyId } = await reEncrypt({ sourceKeyId, destinationKeyId: destinations[i] })
      expect(keyId).to.equal(destination.arn)
    }
  })

  const failures: [string, object, string, (string | undefined)?][] = [
    ['a wrong source context', { sourceEncryptionContext: {} }, 'InvalidCiphertextException'],
    ['garbage', { ciphertextBlob: Buffer.from('garbage') }, 'InvalidCiphertextException'],
    [
      'no ciphertext',
      { ciphertextBlob: undefined },
      'ValidationException',
      "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null",
    ],
    ['an unknown destination', { destinationKeyId: 'nonsense' }, 'NotFoundException'],
    [
      'a foreign algorithm on the source side',
      { sourceEncryptionAlgorithm: 'RSAES_OAEP_SHA_256' },
      'InvalidKeyUsageException',
      'Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT.',
    ],
    [
      'a foreign algorithm on the destination side',
      { destinationEncryptionAlgorithm: 'RSAES_OAEP_SHA_1' },
      'InvalidKeyUsageException',
    ],
    ['a grant token', { grantTokens: ['nothing'] }, 'InvalidGrantTokenException'],
  ]
  for (const [what, input, code, message] of failures)
    it(`AT-C17: ${what} fails before anything is encrypted`, async () => {
      const before = rig.custody.countOf('encrypt')
      const outcome = reEncrypt(input)
      await expectKmsError(outcome, code as never, ...(message === undefined ? [] : [message]))
      expect(rig.custody.countOf('encrypt')).to.equal(before)
    })

  it('AT-C17: nothing is encrypted, and no encryption counted, when the token refuses the source', async () => {
    const before = rig.custody.countOf('encrypt')
    const [material] = rig.storage.snapshot.materialsOf(destination.arn)
    rig.custody.beforeNext('decrypt', () => {
      throw new CustodyError('DEVICE_GONE', 'gone')
    })
    await expectKmsError(reEncrypt(), 'KeyUnavailableException')
    expect(rig.custody.countOf('encrypt')).to.equal(before)
    const [after] = rig.storage.snapshot.materialsOf(destination.arn)
    expect(after?.encryptionsReserved).to.equal(material?.encryptionsReserved)
  })

  it('KMS-36: a source key that is named and is another is refused, one that is missing is not found', async () => {
    await expectKmsError(
      reEncrypt({ sourceKeyId: destination.keyId }),
      'IncorrectKeyException',
      'The key ID in the request does not identify a CMK that can perform this operation.',
    )
    const missing = '00000000-0000-4000-8000-000000000000'
    await expectKmsError(reEncrypt({ sourceKeyId: missing }), 'NotFoundException')
  })

  for (const side of ['source', 'destination'] as const)
    for (const [state, code] of [
      ['Disabled', 'DisabledException'],
      ['PendingDeletion', 'KMSInvalidStateException'],
      ['Destroying', 'KMSInvalidStateException'],
    ] as const)
      it(`KMS-24: a ${side} that is ${state} answers ${code}`, async () => {
        await putInState(rig, (side === 'source' ? source : destination).arn, state)
        await expectKmsError(reEncrypt(), code)
        expect(rig.custody.countOf('decrypt')).to.equal(0)
      })

  for (const [granted, missing] of [
    ['kms:ReEncryptFrom', 'kms:ReEncryptTo'],
    ['kms:ReEncryptTo', 'kms:ReEncryptFrom'],
    ['kms:Decrypt', 'kms:ReEncryptFrom'],
  ] as const)
    it(`AT-Z13: ${granted} alone is not enough`, async () => {
      const by = caller('half', [allowing(granted, 'kms:Encrypt')])
      const trail = newTrail()
      const outcome = rig.ask('ReEncrypt', request(), { by, trail })
      const on = missing === 'kms:ReEncryptTo' ? destination.arn : source.arn
      await expectKmsError(
        outcome,
        'AccessDeniedException',
        `User: ${by.arn} is not authorized to perform: ${missing} on resource: ${on} because no identity-based policy allows the ${missing} action`,
      )
      expect(trail.decision?.allowed).to.equal(false)
      expect(rig.custody.countOf('decrypt')).to.equal(0)
    })

  it('AT-Z13: both permissions are enough, each on its own key', async () => {
    const by = caller('both', [
      statement(
        { Effect: 'Allow', Action: 'kms:ReEncryptFrom', Resource: source.arn },
        { Effect: 'Allow', Action: 'kms:ReEncryptTo', Resource: destination.arn },
      ),
    ])
    await reEncrypt({}, by)
    await expectKmsError(reEncrypt({ destinationKeyId: source.keyId }, by), 'AccessDeniedException')
  })

  it('AT-Z13: kms:ReEncryptOnSameKey tells both sides whether the keys are one', async () => {
    const by = caller('same', [
      statement({
        Effect: 'Allow',
        Action: 'kms:ReEncrypt*',
        Resource: '*',
        Condition: { Bool: { 'kms:ReEncryptOnSameKey': 'true' } },
      }),
    ])
    await reEncrypt({ destinationKeyId: source.keyId }, by)
    await expectKmsError(reEncrypt({}, by), 'AccessDeniedException')
  })

  it('AT-Z13: each side is asked with its own context, algorithm and alias', async () => {
    await rig.ask('CreateAlias', { aliasName: 'alias/to', targetKeyId: destination.arn })
    const side = (action: string, condition: object) => ({
      Effect: 'Allow',
      Action: action,
      Resource: '*',
      Condition: condition,
    })
    const by = caller('sides', [
      statement(
        side('kms:ReEncryptFrom', {
          StringEquals: { 'kms:EncryptionContext:from': 'here' },
          Null: { 'kms:EncryptionContext:to': 'true', 'kms:RequestAlias': 'true' },
        }),
        side('kms:ReEncryptTo', {
          StringEquals: {
            'kms:EncryptionContext:to': 'there',
            'kms:EncryptionAlgorithm': 'SYMMETRIC_DEFAULT',
            'kms:RequestAlias': 'alias/to',
          },
          Null: { 'kms:EncryptionContext:from': 'true' },
        }),
      ),
    ])
    await reEncrypt({ destinationKeyId: 'alias/to' }, by)
    await expectKmsError(reEncrypt({}, by), 'AccessDeniedException')
  })

  it('AT-Z02: a stranger to the source hears what an unknown ciphertext gets', async () => {
    const by = caller('eve', undefined, { accountId: OTHER_ACCOUNT })
    const own = await rig.makeKey({}, { by })
    await expectKmsError(
      reEncrypt({ destinationKeyId: own.arn }, by),
      'AccessDeniedException',
      'The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.',
    )
  })

  it('KMS-62 AT-Z14: a dry run checks everything and touches no token', async () => {
    const before = rig.custody.calls.length
    await expectKmsError(reEncrypt({ dryRun: true }), 'DryRunOperationException', DRY_RUN)
    await expectKmsError(
      reEncrypt({ dryRun: true, ciphertextBlob: Buffer.from('x') }),
      'InvalidCiphertextException',
    )
    await putInState(rig, destination.arn, 'Disabled')
    await expectKmsError(reEncrypt({ dryRun: true }), 'DisabledException')
    expect(rig.custody.calls).to.have.lengthOf(before)
  })

  it('KMS-62: IGNORE_CIPHERTEXT asks about the keys alone, and only in a dry run', async () => {
    const without = { ciphertextBlob: undefined, dryRunModifiers: ['IGNORE_CIPHERTEXT'] }
    const dry = { ...without, dryRun: true, sourceKeyId: source.keyId }
    await expectKmsError(reEncrypt(dry), 'DryRunOperationException', DRY_RUN)
    await expectKmsError(reEncrypt({ ...dry, sourceKeyId: undefined }), 'ValidationException')
    await expectKmsError(
      reEncrypt({ ...without, sourceKeyId: source.keyId }),
      'ValidationException',
    )
    const by = caller('to', [allowing('kms:ReEncryptTo')])
    await expectKmsError(reEncrypt(dry, by), 'AccessDeniedException')
  })

  it('wipes the plaintext that passes through', async () => {
    const seen: Buffer[] = []
    const decrypt = rig.custody.decrypt.bind(rig.custody)
    rig.custody.decrypt = async (...args) => {
      const plaintext = await decrypt(...args)
      seen.push(plaintext)
      return plaintext
    }
    await reEncrypt()
    expect(seen[0]).to.deep.equal(Buffer.alloc('secret'.length))
  })

  it('leaves both keys and no ciphertext in the trail', async () => {
    const trail = newTrail()
    await rig.ask('ReEncrypt', request(), { trail })
    expect(trail.resources).to.deep.equal([source.arn, destination.arn])
    expect(trail.parameters).to.deep.equal({
      sourceEncryptionContext: { from: 'here' },
      destinationKeyId: destination.keyId,
      destinationEncryptionContext: { to: 'there' },
    })
  })

  it('KMS-62: Decrypt knows the modifier too', async () => {
    const dry = { keyId: source.keyId, dryRun: true, dryRunModifiers: ['IGNORE_CIPHERTEXT'] }
    expect(await exceptionOf(rig.ask('Decrypt', dry))).to.equal('DryRunOperationException')
    expect(await exceptionOf(rig.ask('Decrypt', { ...dry, keyId: undefined }))).to.equal(
      'ValidationException',
    )
  })
})
