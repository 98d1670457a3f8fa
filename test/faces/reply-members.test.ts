import { expect } from 'chai'
import { DaemonUnderTest } from '../support/daemon-under-test.ts'
import { callKms } from '../support/kms-request.ts'
import { awsSdk } from './aws-sdk.ts'

type Wire = Record<string, unknown>

const METADATA = [
  'AWSAccountId',
  'Arn',
  'CreationDate',
  'CurrentKeyMaterialId',
  'CustomerMasterKeySpec',
  'Description',
  'Enabled',
  'EncryptionAlgorithms',
  'KeyId',
  'KeyManager',
  'KeySpec',
  'KeyState',
  'KeyUsage',
  'MultiRegion',
  'Origin',
] as const

const OPEN_POLICY = JSON.stringify({
  Version: '2012-10-17',
  Statement: [
    {
      Effect: 'Allow',
      Principal: { AWS: 'arn:aws:iam::123456789012:root' },
      Action: 'kms:*',
      Resource: '*',
    },
  ],
})

const PLAINTEXT = Buffer.from('secret text').toString('base64')

describe('the JSON of the replies', () => {
  let daemon: DaemonUnderTest
  let metadata: Wire
  let encrypted: Wire

  before(async () => {
    daemon = await DaemonUnderTest.start()
    metadata = (await call('CreateKey', {}))['KeyMetadata'] as Wire
    encrypted = await call('Encrypt', { KeyId: id(), Plaintext: PLAINTEXT })
  })
  after(() => daemon.stop())

  const call = (operation: string, body: Wire) =>
    callKms<Wire>(daemon.endpoint(), { operation, body })
  const id = () => metadata['KeyId'] as string
  const arn = () => `arn:aws:kms:eu-west-1:123456789012:key/${id()}`

  it('KMS-15, KMS-16, KMS-17: CreateKey has AWS’s members of a symmetric key, and no others', async () => {
    const reply = await call('CreateKey', {})
    expect(Object.keys(reply)).to.deep.equal(['KeyMetadata'])
    expect(reply['KeyMetadata']).to.have.all.keys(...METADATA)
    expect(reply['KeyMetadata']).to.deep.include({
      AWSAccountId: '123456789012',
      CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT',
      Description: '',
      Enabled: true,
      EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
      KeyManager: 'CUSTOMER',
      KeySpec: 'SYMMETRIC_DEFAULT',
      KeyState: 'Enabled',
      KeyUsage: 'ENCRYPT_DECRYPT',
      MultiRegion: false,
      Origin: 'AWS_KMS',
    })
    expect((reply['KeyMetadata'] as Wire)['CurrentKeyMaterialId']).to.match(/^[0-9a-f]{64}$/)
  })

  it('KMS-15: DescribeKey tells the same, with the bare id', async () => {
    expect(await call('DescribeKey', { KeyId: arn() })).to.deep.equal({ KeyMetadata: metadata })
    expect(metadata['Arn']).to.equal(arn())
  })

  it('KMS-5: times are numbers of seconds', () => {
    expect(metadata['CreationDate']).to.be.closeTo(Date.now() / 1000, 60)
  })

  it('ListKeys has a marker only where there is more, and never an empty list beside it', async () => {
    await call('CreateKey', {}) // the second key at least
    const whole = await call('ListKeys', {})
    expect(whole).to.have.all.keys('Keys', 'Truncated')
    const keys = whole['Keys'] as Wire[]
    for (const key of keys) expect(key).to.have.all.keys('KeyId', 'KeyArn')
    const first = await call('ListKeys', { Limit: 1 })
    expect(first).to.have.all.keys('Keys', 'NextMarker', 'Truncated')
    const rest = await call('ListKeys', { Marker: first['NextMarker'] })
    expect([...(first['Keys'] as Wire[]), ...(rest['Keys'] as Wire[])]).to.deep.equal(keys)
    expect(rest).to.include({ Truncated: false })
  })

  it('KMS-38: Encrypt has three members, with the ARN for the key', () => {
    expect(encrypted).to.have.all.keys('CiphertextBlob', 'KeyId', 'EncryptionAlgorithm')
    expect(encrypted).to.include({ KeyId: arn(), EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' })
  })

  it('KMS-38: Decrypt names key, algorithm and material', async () => {
    expect(await call('Decrypt', { CiphertextBlob: encrypted['CiphertextBlob'] })).to.deep.equal({
      KeyId: arn(),
      Plaintext: PLAINTEXT,
      EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      KeyMaterialId: metadata['CurrentKeyMaterialId'],
    })
  })

  it('KMS-38: GenerateDataKey names key and material, and nothing about a recipient', async () => {
    for (const size of [{ KeySpec: 'AES_128' }, { NumberOfBytes: 64 }]) {
      const reply = await call('GenerateDataKey', { KeyId: id(), ...size })
      expect(reply).to.have.all.keys('CiphertextBlob', 'KeyId', 'KeyMaterialId', 'Plaintext')
      expect(reply).to.include({ KeyId: arn(), KeyMaterialId: metadata['CurrentKeyMaterialId'] })
    }
  })

  it('KMS-45: RotateKeyOnDemand has the ARN alone, and Decrypt goes on naming the old material', async () => {
    expect(await call('RotateKeyOnDemand', { KeyId: id() })).to.deep.equal({ KeyId: arn() })
    const { KeyMetadata } = await call('DescribeKey', { KeyId: id() })
    const current = (KeyMetadata as Wire)['CurrentKeyMaterialId']
    expect(current).not.to.equal(metadata['CurrentKeyMaterialId'])
    const old = await call('Decrypt', { CiphertextBlob: encrypted['CiphertextBlob'] })
    expect(old['KeyMaterialId']).to.equal(metadata['CurrentKeyMaterialId'])
    const { CiphertextBlob } = await call('Encrypt', { KeyId: id(), Plaintext: PLAINTEXT })
    expect(await call('Decrypt', { CiphertextBlob })).to.include({ KeyMaterialId: current })
  })

  it('KMS-23: ScheduleKeyDeletion has four members, and the metadata then one more', async () => {
    const reply = await call('ScheduleKeyDeletion', { KeyId: id() })
    expect(reply).to.have.all.keys('KeyId', 'DeletionDate', 'KeyState', 'PendingWindowInDays')
    expect(reply).to.include({
      KeyId: arn(),
      KeyState: 'PendingDeletion',
      PendingWindowInDays: 30,
    })
    const { KeyMetadata } = await call('DescribeKey', { KeyId: id() })
    expect(KeyMetadata).to.have.all.keys(...METADATA, 'DeletionDate')
    expect(KeyMetadata).to.include({
      Enabled: false,
      KeyState: 'PendingDeletion',
      DeletionDate: reply['DeletionDate'],
    })
  })
})

/** The two ways to look at a reply. */
const VIEWS: readonly {
  readonly name: string
  readonly call: (daemon: DaemonUnderTest, operation: string, body: Wire) => Promise<unknown>
  readonly nothing: unknown
}[] = [
  {
    name: 'the JSON',
    call: (daemon, operation, body) => callKms(daemon.endpoint(), { operation, body }),
    nothing: undefined, // KMS-5: an empty body
  },
  {
    name: 'what AWS’s SDK makes of it',
    call: (daemon, operation, body) => awsSdk.call(daemon, operation, body),
    nothing: {},
  },
]

interface Subject {
  readonly id: string
  readonly other: string
  readonly alias: string
  readonly ciphertext: unknown
}

interface Row {
  readonly operation: string
  readonly input: (subject: Subject) => Wire
  /** AWS’s members for this request; none for an operation without output. */
  readonly members?: readonly string[]
  /** A list in the reply, and the members of each of its entries. */
  readonly entries?: readonly [list: string, ...members: readonly string[]]
  /** What makes this request differ from another of the same operation. */
  readonly when?: string
}

const byId = ({ id }: Subject) => ({ KeyId: id })
const DATES = ['CreationDate', 'LastUpdatedDate']
const MATERIALS = ['KeyId', 'KeyMaterialId', 'KeyMaterialState']

/** Each request once, in an order in which all of them succeed. */
const ROWS: readonly Row[] = [
  {
    operation: 'GetKeyLastUsage',
    when: 'of a key that was never used',
    input: ({ other }) => ({ KeyId: other }),
    members: ['KeyCreationDate', 'KeyId', 'KeyLastUsage', 'TrackingStartDate'],
  },
  {
    operation: 'CreateAlias',
    input: ({ id, alias }) => ({ AliasName: alias, TargetKeyId: id }),
  },
  {
    operation: 'UpdateAlias',
    input: ({ other, alias }) => ({ AliasName: alias, TargetKeyId: other }),
  },
  {
    operation: 'ListAliases',
    input: ({ other }) => ({ KeyId: other }),
    members: ['Aliases', 'Truncated'],
    entries: ['Aliases', 'AliasArn', 'AliasName', 'TargetKeyId', ...DATES],
  },
  {
    operation: 'ListAliases',
    when: 'where there are none',
    input: byId,
    members: ['Aliases', 'Truncated'],
  },
  { operation: 'DeleteAlias', input: ({ alias }) => ({ AliasName: alias }) },
  {
    operation: 'TagResource',
    input: (subject) => ({ ...byId(subject), Tags: [tag('a'), tag('b'), tag('c')] }),
  },
  {
    operation: 'ListResourceTags',
    when: 'on the first of two pages',
    input: (subject) => ({ ...byId(subject), Limit: 2 }),
    members: ['NextMarker', 'Tags', 'Truncated'],
    entries: ['Tags', 'TagKey', 'TagValue'],
  },
  { operation: 'UntagResource', input: (subject) => ({ ...byId(subject), TagKeys: ['a'] }) },
  {
    operation: 'ListResourceTags',
    input: byId,
    members: ['Tags', 'Truncated'],
    entries: ['Tags', 'TagKey', 'TagValue'],
  },
  {
    operation: 'UpdateKeyDescription',
    input: (subject) => ({ ...byId(subject), Description: '' }),
  },
  {
    operation: 'GenerateDataKeyWithoutPlaintext',
    input: (subject) => ({ ...byId(subject), KeySpec: 'AES_256' }),
    members: ['CiphertextBlob', 'KeyId', 'KeyMaterialId'],
  },
  {
    operation: 'ReEncrypt',
    input: ({ ciphertext, other }) => ({ CiphertextBlob: ciphertext, DestinationKeyId: other }),
    members: [
      'CiphertextBlob',
      'DestinationEncryptionAlgorithm',
      'DestinationKeyMaterialId',
      'KeyId',
      'SourceEncryptionAlgorithm',
      'SourceKeyId',
      'SourceKeyMaterialId',
    ],
  },
  { operation: 'GenerateRandom', input: () => ({ NumberOfBytes: 1 }), members: ['Plaintext'] },
  {
    operation: 'GetKeyLastUsage',
    input: byId,
    members: ['KeyCreationDate', 'KeyId', 'KeyLastUsage', 'TrackingStartDate'],
  },
  {
    operation: 'GetKeyRotationStatus',
    when: 'of a key that is not rotated',
    input: byId,
    members: ['KeyId', 'KeyRotationEnabled'],
  },
  { operation: 'EnableKeyRotation', input: byId },
  {
    operation: 'GetKeyRotationStatus',
    input: byId,
    members: ['KeyId', 'KeyRotationEnabled', 'NextRotationDate', 'RotationPeriodInDays'],
  },
  { operation: 'DisableKeyRotation', input: byId },
  { operation: 'RotateKeyOnDemand', input: byId, members: ['KeyId'] },
  {
    operation: 'ListKeyRotations',
    input: byId,
    members: ['Rotations', 'Truncated'],
    entries: ['Rotations', ...MATERIALS, 'RotationDate', 'RotationType'],
  },
  {
    operation: 'ListKeyRotations',
    when: 'of a key that never was rotated, with all of its material',
    input: ({ other }) => ({ KeyId: other, IncludeKeyMaterial: 'ALL_KEY_MATERIAL' }),
    members: ['Rotations', 'Truncated'],
    entries: ['Rotations', ...MATERIALS],
  },
  { operation: 'GetKeyPolicy', input: byId, members: ['Policy', 'PolicyName'] },
  { operation: 'ListKeyPolicies', input: byId, members: ['PolicyNames', 'Truncated'] },
  { operation: 'PutKeyPolicy', input: (subject) => ({ ...byId(subject), Policy: OPEN_POLICY }) },
  { operation: 'DisableKey', input: byId },
  { operation: 'EnableKey', input: byId },
  {
    operation: 'ScheduleKeyDeletion',
    input: byId,
    members: ['DeletionDate', 'KeyId', 'KeyState', 'PendingWindowInDays'],
  },
  { operation: 'CancelKeyDeletion', input: byId, members: ['KeyId'] },
]

describe('the members of the replies', () => {
  let daemon: DaemonUnderTest
  before(async () => {
    daemon = await DaemonUnderTest.start()
  })
  after(() => daemon.stop())

  for (const { name, call, nothing } of VIEWS)
    describe(name, () => {
      let subject: Subject
      before(async () => {
        const [id, other] = [await makeKey(), await makeKey()]
        const body = { KeyId: id, Plaintext: PLAINTEXT }
        const encrypted = await callKms<Wire>(daemon.endpoint(), { operation: 'Encrypt', body })
        const alias = `alias/${id}`
        subject = { id, other, alias, ciphertext: encrypted['CiphertextBlob'] }
      })

      for (const { operation, when, input, members, entries } of ROWS)
        it(`of ${operation}${when ? `, ${when},` : ''} are AWS’s, and no others`, async () => {
          const reply = await call(daemon, operation, input(subject))
          if (!members) return expect(reply).to.deep.equal(nothing)
          expect(Object.keys(reply as Wire).toSorted()).to.deep.equal(members)
          if (!entries) return
          const [list, ...ofEach] = entries
          const listed = (reply as Wire)[list] as Wire[]
          expect(listed).to.have.length.of.at.least(1)
          for (const entry of listed) expect(entry).to.have.all.keys(...ofEach)
        })

      it('of GetKeyLastUsage, within KeyLastUsage, are four, and none for a key that was never used', async () => {
        const fresh = await makeKey()
        const unused = (await call(daemon, 'GetKeyLastUsage', { KeyId: fresh })) as Wire
        expect(unused['KeyLastUsage']).to.deep.equal({})
        const body = { KeyId: fresh, Plaintext: PLAINTEXT }
        await callKms(daemon.endpoint(), { operation: 'Encrypt', body })
        const used = (await call(daemon, 'GetKeyLastUsage', { KeyId: fresh })) as Wire
        const usage = used['KeyLastUsage'] as Wire
        const members = ['CloudTrailEventId', 'KmsRequestId', 'Operation', 'Timestamp']
        expect(usage).to.have.all.keys(...members)
        expect(usage).to.include({ Operation: 'Encrypt' })
      })
    })

  it('KMS-5: an operation without output answers an empty body', async () => {
    const body = { KeyId: await makeKey() }
    const reply = await callKms(daemon.endpoint(), { operation: 'EnableKey', body })
    expect(reply).to.equal(undefined)
  })

  async function makeKey(): Promise<string> {
    const { KeyMetadata } = await awsSdk.call(daemon, 'CreateKey', {})
    return (KeyMetadata as { KeyId: string }).KeyId
  }
})

function tag(key: string): Wire {
  return { TagKey: key, TagValue: 'x' }
}
