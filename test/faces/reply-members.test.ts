import { expect } from 'chai'
import { DaemonUnderTest } from '../support/daemon-under-test.ts'
import { callKms } from '../support/kms-request.ts'

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
