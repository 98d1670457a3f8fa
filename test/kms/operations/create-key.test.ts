import { expect } from 'chai'
import { CustodyError } from '../../../src/crypto/custody-error.ts'
import { newTrail } from '../../../src/kms/audit-trail.ts'
import { defaultKeyPolicy } from '../../../src/policy/default-key-policy.ts'
import { ACCOUNT, ALICE, allowing, caller, expectKmsError, REGION, Rig, statement } from '../rig.ts'

const LOCKOUT = 'The new key policy will not allow you to update the key policy in the future.'

describe('CreateKey', () => {
  let rig: Rig
  beforeEach(async () => {
    rig = await new Rig().start()
  })
  afterEach(() => rig.remove())

  it('KMS-15 KMS-16: replies with exactly the metadata of a symmetric key', async () => {
    const metadata = await rig.makeKey({ description: 'for tests' })
    const { keyId } = metadata
    expect(keyId).to.match(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    const [material] = rig.storage.snapshot.materialsOf(metadata.arn)
    expect(metadata).to.deep.equal({
      awsAccountId: ACCOUNT,
      keyId,
      arn: `arn:aws:kms:${REGION}:${ACCOUNT}:key/${keyId}`,
      creationDate: new Date(rig.clock.now()),
      enabled: true,
      description: 'for tests',
      keyUsage: 'ENCRYPT_DECRYPT',
      keyState: 'Enabled',
      origin: 'AWS_KMS',
      keyManager: 'CUSTOMER',
      customerMasterKeySpec: 'SYMMETRIC_DEFAULT',
      keySpec: 'SYMMETRIC_DEFAULT',
      encryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
      multiRegion: false,
      currentKeyMaterialId: material?.material.materialId,
    })
    expect(metadata).to.deep.equal((await rig.ask('DescribeKey', { keyId })).keyMetadata)
  })

  it('stores the default key policy, or the given one character for character', async () => {
    const policy = ` ${defaultKeyPolicy(ACCOUNT)} `
    const keys = [await rig.makeKey(), await rig.makeKey({ policy })]
    const stored = keys.map(({ arn }) => rig.storage.snapshot.findKey(arn)?.policy)
    expect(stored).to.deep.equal([defaultKeyPolicy(ACCOUNT), policy])
  })

  const refused: [string, object, Parameters<typeof expectKmsError>[1], string][] = [
    [
      'KMS-22: both names of the spec',
      { keySpec: 'SYMMETRIC_DEFAULT', customerMasterKeySpec: 'SYMMETRIC_DEFAULT' },
      'ValidationException',
      'You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.',
    ],
    [
      'KMS-22: a usage that does not fit',
      { keyUsage: 'SIGN_VERIFY' },
      'ValidationException',
      'KeyUsage SIGN_VERIFY is not compatible with KeySpec SYMMETRIC_DEFAULT',
    ],
    [
      'a spec that does not exist yet',
      { keySpec: 'RSA_2048' },
      'UnsupportedOperationException',
      'Keys of KeySpec RSA_2048 are not supported.',
    ],
    [
      'another origin',
      { origin: 'EXTERNAL' },
      'UnsupportedOperationException',
      'Keys of Origin EXTERNAL are not supported.',
    ],
    [
      'a custom key store',
      { customKeyStoreId: 'cks-1' },
      'UnsupportedOperationException',
      'Custom key stores are not supported.',
    ],
    [
      'a multi-Region key',
      { multiRegion: true },
      'UnsupportedOperationException',
      'Multi-Region keys are not supported.',
    ],
    [
      'KMS-20: one tag key twice',
      { tags: [tag('a'), tag('a')] },
      'TagException',
      'Duplicate tag keys',
    ],
    [
      'KMS-20: 51 tags',
      { tags: Array.from({ length: 51 }, (_, i) => tag(`k${i}`)) },
      'TagException',
      'Too many tags',
    ],
    [
      'KMS-20: reserved tags in any case',
      { tags: [tag('AwS:x')] },
      'TagException',
      'Tags beginning with aws: are reserved',
    ],
    [
      'KMS-58: a policy that locks the caller out',
      {
        policy: statement({
          Effect: 'Allow',
          Principal: { AWS: caller('carol').arn },
          Action: 'kms:*',
          Resource: '*',
        }),
      },
      'MalformedPolicyDocumentException',
      LOCKOUT,
    ],
    [
      'AT-Z06: a policy that denies the caller PutKeyPolicy',
      {
        policy: statement(
          { Effect: 'Allow', Principal: '*', Action: 'kms:*', Resource: '*' },
          { Effect: 'Deny', Principal: '*', Action: 'kms:PutKeyPolicy', Resource: '*' },
        ),
      },
      'MalformedPolicyDocumentException',
      LOCKOUT,
    ],
  ]
  for (const [what, input, code, message] of refused)
    it(`refuses ${what} before the token is asked`, async () => {
      await expectKmsError(rig.makeKey(input), code, message)
      expect(rig.custody.calls).to.deep.equal([])
      expect(rig.storage.snapshot.intents()).to.deep.equal([])
    })

  it('ARCH-D13: refuses a policy with something that we do not know', async () => {
    const policy = statement({ Effect: 'Allow', NotPrincipal: '*', Action: '*', Resource: '*' })
    await expectKmsError(rig.makeKey({ policy }), 'MalformedPolicyDocumentException')
  })

  it('AT-Z06: takes a policy that locks the caller out when the caller waives the check', async () => {
    const policy = statement({
      Effect: 'Allow',
      Principal: { AWS: caller('carol').arn },
      Action: 'kms:*',
      Resource: '*',
    })
    const { keyId } = await rig.makeKey({ policy, bypassPolicyLockoutSafetyCheck: true })
    await expectKmsError(rig.ask('DescribeKey', { keyId }), 'AccessDeniedException')
  })

  it('keeps tags sorted by key', async () => {
    const { arn } = await rig.makeKey({ tags: [tag('b'), tag('a')] })
    expect(rig.storage.snapshot.findKey(arn)?.tags).to.deep.equal([tag('a'), tag('b')])
  })

  it('KMS-59: needs an identity policy, and kms:TagResource for tags; the root needs none', async () => {
    const [none, creator] = [caller('nobody', []), caller('maker', [allowing('kms:CreateKey')])]
    await expectKmsError(
      rig.makeKey({}, { by: none }),
      'AccessDeniedException',
      `User: ${none.arn} is not authorized to perform: kms:CreateKey on resource: * because no identity-based policy allows the kms:CreateKey action`,
    )
    await rig.makeKey({}, { by: creator })
    await rig.makeKey({}, { by: caller('root', []) })
    await expectKmsError(
      rig.makeKey({ tags: [tag('a')] }, { by: creator }),
      'AccessDeniedException',
      `User: ${creator.arn} is not authorized to perform: kms:TagResource on resource: * because no identity-based policy allows the kms:TagResource action`,
    )
  })

  it('ARCH-D11: the intent is on the disk before the token makes anything, and gone after', async () => {
    let seen: unknown
    rig.custody.beforeNext('make', () => {
      seen = rig.storage.snapshot.intents().map(({ kind }) => kind)
    })
    const { arn } = await rig.makeKey()
    expect(seen).to.deep.equal(['make'])
    expect(rig.storage.snapshot.intents()).to.deep.equal([])
    const [made] = rig.storage.snapshot.materialsOf(arn)
    expect(rig.custody.originOf(made?.material.materialId ?? '')).to.deep.include({
      accountId: ACCOUNT,
      region: REGION,
      lineage: rig.storage.snapshot.lineage,
    })
  })

  it('FM-F19: a token that answers it is full leaves neither a key nor an intent', async () => {
    rig.custody.beforeNext('make', () => {
      throw new CustodyError('CAPACITY', 'CKR_DEVICE_MEMORY')
    })
    await expectKmsError(rig.makeKey(), 'ThrottlingException', 'Rate exceeded')
    expect([...rig.storage.snapshot.allKeys()]).to.deep.equal([])
    expect(rig.storage.snapshot.intents()).to.deep.equal([])
    expect(rig.custody.size).to.equal(0)
  })

  it('FM-F21: when nobody knows whether the token made it, the intent stays and names it', async () => {
    rig.custody.loseNextMade(new CustodyError('DEADLINE', 'no answer'))
    await expectKmsError(rig.makeKey(), 'DependencyTimeoutException')
    await rig.restart()
    const [intent] = rig.storage.snapshot.intents()
    expect(intent?.kind === 'make' && rig.custody.has(intent.plan.materialId)).to.equal(true)
    expect([...rig.storage.snapshot.allKeys()]).to.deep.equal([])
  })

  it('FM-F21: an intent also stays when taking back fails', async () => {
    for (const call of ['make', 'destroy'] as const)
      rig.custody.beforeNext(call, () => {
        throw new CustodyError('CAPACITY', 'full')
      })
    await expectKmsError(rig.makeKey(), 'ThrottlingException')
    expect(rig.storage.snapshot.intents()).to.have.lengthOf(1)
    expect(rig.notices[0]?.message).to.contain('reconcile')
  })

  it('leaves a trail of what was asked and made', async () => {
    const trail = newTrail()
    const { arn } = await rig.makeKey({ description: 'x' }, { trail })
    expect(trail).to.deep.include({ resources: [arn], readOnly: false })
    expect(trail.parameters).to.deep.equal({ description: 'x' })
    expect(trail.response).to.have.nested.property('keyMetadata.arn', arn)
  })

  it('keeps keys of two regions and two accounts apart', async () => {
    const { keyId } = await rig.makeKey()
    const elsewhere = { ...ALICE, region: 'us-east-1' }
    await expectKmsError(rig.ask('DescribeKey', { keyId }, { by: elsewhere }), 'NotFoundException')
    const stranger = caller('root', [], { accountId: '999900001111' })
    await expectKmsError(rig.ask('DescribeKey', { keyId }, { by: stranger }), 'NotFoundException')
  })
})

function tag(tagKey: string) {
  return { tagKey, tagValue: 'v' }
}
