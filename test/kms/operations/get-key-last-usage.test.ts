import { expect } from 'chai'
import { newTrail } from '../../../src/kms/audit-trail.ts'
import { encodeReply } from '../../../src/http/codec.ts'
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
} from '../rig.ts'

describe('GetKeyLastUsage', () => {
  let rig: Rig
  let key: { keyId: string; arn: string }
  let born: Date
  beforeEach(async () => {
    rig = await new Rig().start()
    key = await rig.makeKey()
    born = new Date(rig.clock.now())
    rig.clock.pass(1000)
  })
  afterEach(() => rig.remove())

  const lastUsage = (keyId = key.keyId, by = ALICE) => rig.ask('GetKeyLastUsage', { keyId }, { by })

  it('has an empty structure for a key that was never used', async () => {
    const reply = await lastUsage()
    expect(reply).to.deep.equal({
      keyId: key.keyId,
      keyLastUsage: {},
      trackingStartDate: born,
      keyCreationDate: born,
    })
    expect(JSON.parse(encodeReply('GetKeyLastUsage', reply))).to.have.deep.property(
      'KeyLastUsage',
      {},
    )
  })

  it('shows the operation, the time, the request and its audit record', async () => {
    const trail = newTrail()
    const input = { keyId: key.keyId, plaintext: Buffer.from('x') }
    await rig.ask('Encrypt', input, { trail })
    trail.eventId = 'a-record'
    const { keyLastUsage } = await lastUsage()
    expect(keyLastUsage).to.include({ operation: 'Encrypt', cloudTrailEventId: 'a-record' })
    expect(keyLastUsage.timestamp).to.deep.equal(new Date(rig.clock.now()))
    expect(keyLastUsage.kmsRequestId).to.match(/^[0-9a-f-]{36}$/)
    expect(keyLastUsage).to.have.all.keys(
      'operation',
      'timestamp',
      'cloudTrailEventId',
      'kmsRequestId',
    )
  })

  const uses: [string, () => Promise<unknown>][] = [
    ['Encrypt', () => rig.encrypt(key.keyId)],
    ['GenerateDataKey', () => rig.ask('GenerateDataKey', { keyId: key.keyId, numberOfBytes: 1 })],
    [
      'GenerateDataKeyWithoutPlaintext',
      () => rig.ask('GenerateDataKeyWithoutPlaintext', { keyId: key.keyId, numberOfBytes: 1 }),
    ],
    ['Decrypt', async () => rig.decrypt(await rig.encrypt(key.keyId))],
    [
      'ReEncrypt',
      async () =>
        rig.ask('ReEncrypt', {
          ciphertextBlob: await rig.encrypt(key.keyId),
          destinationKeyId: key.keyId,
        }),
    ],
  ]
  for (const [operation, use] of uses)
    it(`counts ${operation}`, async () => {
      await use()
      expect((await lastUsage()).keyLastUsage.operation).to.equal(operation)
    })

  it('counts ReEncrypt for both keys, by alias too', async () => {
    const other = await rig.makeKey()
    await rig.ask('CreateAlias', { aliasName: 'alias/to', targetKeyId: other.keyId })
    const ciphertextBlob = await rig.encrypt(key.keyId)
    await rig.ask('ReEncrypt', { ciphertextBlob, destinationKeyId: 'alias/to' })
    for (const { keyId } of [key, other])
      expect((await lastUsage(keyId)).keyLastUsage.operation).to.equal('ReEncrypt')
  })

  it('counts nothing that fails, no dry run and no management', async () => {
    const dry = { keyId: key.keyId, plaintext: Buffer.from('x'), dryRun: true }
    await expectKmsError(rig.ask('Encrypt', dry), 'DryRunOperationException')
    await expectKmsError(
      rig.ask('Encrypt', { ...dry, dryRun: false, grantTokens: ['x'] }),
      'InvalidGrantTokenException',
    )
    await rig.ask('DescribeKey', { keyId: key.keyId })
    await rig.ask('RotateKeyOnDemand', { keyId: key.keyId })
    await rig.ask('GenerateRandom', { numberOfBytes: 1 })
    expect((await lastUsage()).keyLastUsage).to.deep.equal({})
  })

  it('names the time since which uses are recorded, where keys are older than that', async () => {
    await rig.storage.change((draft) => {
      const made = draft.findKey(key.arn)
      if (made) draft.putKey({ ...made, createdAt: -1 })
    })
    const reply = await lastUsage()
    expect(reply.trackingStartDate).to.deep.equal(new Date(0))
    expect(reply.keyCreationDate).to.deep.equal(new Date(-1))
  })

  it('answers in every state of the key', async () => {
    await rig.encrypt(key.keyId)
    for (const state of ['Disabled', 'PendingDeletion', 'Destroying'] as const) {
      await putInState(rig, key.arn, state)
      expect((await lastUsage()).keyLastUsage.operation).to.equal('Encrypt')
    }
  })

  it('KMS-13: takes a key id or a key ARN of its own account', async () => {
    await rig.ask('CreateAlias', { aliasName: 'alias/mine', targetKeyId: key.keyId })
    expect((await lastUsage(key.arn)).keyId).to.equal(key.keyId)
    const alias = `arn:aws:kms:${REGION}:${ACCOUNT}:alias/mine`
    await expectKmsError(lastUsage(alias), 'InvalidArnException')
    const stranger = caller('eve', undefined, { accountId: OTHER_ACCOUNT })
    await expectKmsError(lastUsage(key.arn, stranger), 'AccessDeniedException')
    const unpermitted = caller('other', [allowing('kms:DescribeKey')])
    await expectKmsError(lastUsage(key.arn, unpermitted), 'AccessDeniedException')
  })
})
