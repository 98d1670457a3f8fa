import { expect } from 'chai'
import { CustodyError } from '../../../src/crypto/custody-error.ts'
import { expectKmsError, Rig } from '../rig.ts'

const DAY_MS = 24 * 60 * 60 * 1000

describe('ScheduleKeyDeletion', () => {
  let rig: Rig
  let key: { keyId: string; arn: string }
  beforeEach(async () => {
    rig = await new Rig().start()
    key = await rig.makeKey()
    await rig.kms.heartbeat.beat()
  })
  afterEach(() => rig.remove())

  it('KMS-23: replies with the ARN, the date and the window, 30 days without one', async () => {
    const reply = await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId })
    expect(reply).to.deep.equal({
      keyId: key.arn,
      deletionDate: new Date(rig.clock.now() + 30 * DAY_MS),
      keyState: 'PendingDeletion',
      pendingWindowInDays: 30,
    })
    const { keyMetadata } = await rig.ask('DescribeKey', { keyId: key.keyId })
    expect(keyMetadata).to.deep.include({
      enabled: false,
      keyState: 'PendingDeletion',
      deletionDate: reply.deletionDate,
    })
  })

  it('KMS-23: takes 7 to 30 days and nothing else', async () => {
    const schedule = (pendingWindowInDays: number) =>
      rig.ask('ScheduleKeyDeletion', { keyId: key.keyId, pendingWindowInDays })
    const refusal = (days: number, bound: string) =>
      `1 validation error detected: Value '${days}' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value ${bound}`
    await expectKmsError(
      schedule(6),
      'ValidationException',
      refusal(6, 'greater than or equal to 7'),
    )
    await expectKmsError(
      schedule(31),
      'ValidationException',
      refusal(31, 'less than or equal to 30'),
    )
    expect((await schedule(7)).pendingWindowInDays).to.equal(7)
  })

  it('KMS-24 KMS-25: a key that is pending deletion refuses to be used, rotated or scheduled again', async () => {
    const blob = await rig.encrypt(key.keyId)
    const trail = { keyId: key.keyId }
    await rig.ask('ScheduleKeyDeletion', trail)
    const refused = [
      rig.ask('ScheduleKeyDeletion', trail),
      rig.ask('RotateKeyOnDemand', trail),
      rig.encrypt(key.keyId),
      rig.decrypt(blob),
      rig.ask('GenerateDataKey', { keyId: key.keyId, numberOfBytes: 1 }),
    ]
    for (const outcome of refused)
      await expectKmsError(outcome, 'KMSInvalidStateException', `${key.arn} is pending deletion.`)
    await rig.ask('DescribeKey', trail)
    expect((await rig.ask('ListKeys')).keys).to.have.lengthOf(1)
  })

  it('destroys the key in the token when it is due, and neither key nor ciphertext is known any more', async () => {
    await rig.ask('RotateKeyOnDemand', { keyId: key.keyId })
    const blob = await rig.encrypt(key.keyId)
    await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId, pendingWindowInDays: 7 })
    await passDays(7)
    expect(await rig.kms.deletion.destroyDueKeys()).to.deep.equal({
      destroyed: [key.arn],
      held: [],
      failed: [],
    })
    expect(rig.custody.size).to.equal(0)
    await expectKmsError(rig.ask('DescribeKey', { keyId: key.keyId }), 'NotFoundException')
    await expectKmsError(rig.decrypt(blob), 'AccessDeniedException')
    await rig.restart()
    expect(rig.storage.snapshot.findTombstone(key.arn)?.materialIds).to.have.lengthOf(2)
    await expectKmsError(rig.decrypt(blob), 'AccessDeniedException')
  })

  it('never gives the id of a destroyed key out again', async () => {
    await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId, pendingWindowInDays: 7 })
    await passDays(7)
    await rig.kms.deletion.destroyDueKeys()
    const { accountId, region } = { accountId: key.arn.split(':')[4] ?? '', region: 'eu-central-1' }
    await expectKmsError(
      rig.kms.seedKey({ keyId: key.keyId, accountId, region }),
      'AlreadyExistsException',
    )
  })

  it('destroys nothing one millisecond too early', async () => {
    await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId, pendingWindowInDays: 7 })
    await passDays(7)
    rig.clock.wall -= 1
    expect((await rig.kms.deletion.destroyDueKeys()).destroyed).to.deep.equal([])
  })

  it('FM-F26: a wall clock that jumps 30 days destroys nothing and is reported', async () => {
    await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId, pendingWindowInDays: 7 })
    rig.clock.wall += 30 * DAY_MS
    expect(await rig.kms.heartbeat.beat()).to.deep.equal({ aheadMs: 30 * DAY_MS, held: true })
    const report = { destroyed: [], held: [key.arn], failed: [] }
    expect(await rig.kms.deletion.destroyDueKeys()).to.deep.equal(report)
    await rig.restart()
    await rig.kms.heartbeat.beat()
    expect(await rig.kms.deletion.destroyDueKeys()).to.deep.equal(report)
    expect(rig.custody.size).to.equal(1)
  })

  it('FM-F26: a held key goes when an operator accepts the clock', async () => {
    await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId, pendingWindowInDays: 7 })
    rig.clock.wall += 7 * DAY_MS
    await rig.kms.heartbeat.accept()
    expect((await rig.kms.deletion.destroyDueKeys()).destroyed).to.deep.equal([key.arn])
  })

  it('FM-F25: what a crash interrupts is carried out again after the restart', async () => {
    await rig.ask('RotateKeyOnDemand', { keyId: key.keyId })
    await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId, pendingWindowInDays: 7 })
    await passDays(7)
    rig.custody.beforeNext('destroy', () => undefined)
    rig.custody.beforeNext('destroy', () => {
      throw new CustodyError('DEVICE_GONE', 'gone')
    })
    expect((await rig.kms.deletion.destroyDueKeys()).failed).to.deep.equal([key.arn])
    expect(rig.custody.size).to.equal(1)
    await rig.restart()
    expect(rig.storage.snapshot.intents().map((intent) => intent.kind)).to.deep.equal(['destroy'])
    const { keyMetadata } = await rig.ask('DescribeKey', { keyId: key.keyId })
    expect(keyMetadata.keyState).to.equal('PendingDeletion')
    expect((await rig.kms.deletion.destroyDueKeys()).destroyed).to.deep.equal([key.arn])
    expect(rig.custody.size).to.equal(0)
    expect(rig.storage.snapshot.intents()).to.deep.equal([])
  })

  it('FM-F30: read-only storage destroys nothing, not even what was begun', async () => {
    await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId, pendingWindowInDays: 7 })
    await passDays(7)
    rig.storage.setReadOnly('the database is older than the token')
    expect((await rig.kms.deletion.destroyDueKeys()).destroyed).to.deep.equal([])
    expect(rig.custody.countOf('destroy')).to.equal(0)
  })

  it('FM-F30: read-only storage refuses changes in words and goes on with uses', async () => {
    rig.storage.setReadOnly('the database is older than the token')
    const message = 'the database is older than the token'
    await expectKmsError(rig.makeKey(), 'KMSInvalidStateException', message)
    await expectKmsError(
      rig.ask('ScheduleKeyDeletion', { keyId: key.keyId }),
      'KMSInvalidStateException',
      message,
    )
    expect(await rig.decrypt(await rig.encrypt(key.keyId))).to.equal('secret')
  })

  /** Days go by with a heartbeat each half hour. */
  async function passDays(days: number): Promise<void> {
    for (let i = 0; i < days * 48; i++) {
      rig.clock.pass(DAY_MS / 48)
      if (i % 2 === 1) await rig.kms.heartbeat.beat()
    }
  }
})
