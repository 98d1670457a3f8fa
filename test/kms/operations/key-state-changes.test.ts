import { expect } from 'chai'
import { newTrail } from '../../../src/kms/audit-trail.ts'
import { putInState } from '../keys-in-state.ts'
import { allowing, caller, expectKmsError, Rig } from '../rig.ts'

describe('changes of description and state', () => {
  let rig: Rig
  let key: { keyId: string; arn: string }
  before(async () => {
    rig = await new Rig().start()
  })
  beforeEach(async () => {
    key = await rig.makeKey({ description: 'first' })
  })
  after(() => rig.remove())

  const describeKey = async () => (await rig.ask('DescribeKey', { keyId: key.keyId })).keyMetadata

  it('UpdateKeyDescription replies nothing and changes the description alone, also to an empty one', async () => {
    const before = await describeKey()
    for (const description of ['grün', '']) {
      expect(await rig.ask('UpdateKeyDescription', { keyId: key.keyId, description })).to.equal(
        undefined,
      )
      expect(await describeKey()).to.deep.equal({ ...before, description })
    }
  })

  it('KMS-24: DisableKey replies nothing and stops every use at once, EnableKey gives it back', async () => {
    const blob = await rig.encrypt(key.keyId)
    const uses = () => [
      rig.encrypt(key.keyId),
      rig.decrypt(blob),
      rig.ask('GenerateDataKey', { keyId: key.keyId, numberOfBytes: 16 }),
      rig.ask('RotateKeyOnDemand', { keyId: key.keyId }),
    ]
    expect(await rig.ask('DisableKey', { keyId: key.keyId })).to.equal(undefined)
    expect(await describeKey()).to.include({ enabled: false, keyState: 'Disabled' })
    for (const use of uses())
      await expectKmsError(use, 'DisabledException', `${key.arn} is disabled.`)
    expect(await rig.ask('EnableKey', { keyId: key.keyId })).to.equal(undefined)
    expect(await describeKey()).to.include({ enabled: true, keyState: 'Enabled' })
    await Promise.all(uses())
  })

  it('enabling what is enabled and disabling what is disabled succeed', async () => {
    for (const operation of ['EnableKey', 'DisableKey', 'DisableKey'] as const)
      await rig.ask(operation, { keyId: key.keyId })
    expect(await describeKey()).to.include({ keyState: 'Disabled' })
  })

  it('a disabled key can be scheduled for deletion', async () => {
    await rig.ask('DisableKey', { keyId: key.keyId })
    await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId })
    expect(await describeKey()).to.include({ keyState: 'PendingDeletion' })
  })

  it('KMS-23: CancelKeyDeletion replies with the ARN; the key is Disabled, without a date', async () => {
    const before = await describeKey()
    await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId })
    expect(await rig.ask('CancelKeyDeletion', { keyId: key.keyId })).to.deep.equal({
      keyId: key.arn,
    })
    expect(await describeKey()).to.deep.equal({ ...before, enabled: false, keyState: 'Disabled' })
    rig.clock.pass(31 * 24 * 60 * 60 * 1000)
    await rig.kms.heartbeat.accept()
    expect((await rig.kms.deletion.destroyDueKeys()).destroyed).not.to.include(key.arn)
    expect(await describeKey()).to.include({ keyState: 'Disabled' })
  })

  for (const [state, why] of [
    ['Enabled', 'is not pending deletion.'],
    ['Disabled', 'is not pending deletion.'],
    ['Destroying', 'is being deleted.'],
  ] as const)
    it(`KMS-25: CancelKeyDeletion is refused for a key that is ${state}`, async () => {
      const { arn } = key
      await putInState(rig, arn, state)
      await expectKmsError(
        rig.ask('CancelKeyDeletion', { keyId: arn }),
        'KMSInvalidStateException',
        `${arn} ${why}`,
      )
    })

  it('KMS-13: CancelKeyDeletion takes an id or a key ARN and no alias', async () => {
    for (const keyId of [key.keyId, key.arn]) {
      await rig.ask('ScheduleKeyDeletion', { keyId })
      await rig.ask('CancelKeyDeletion', { keyId })
    }
    await expectKmsError(
      rig.ask('CancelKeyDeletion', { keyId: 'alias/x' }),
      'InvalidArnException',
      'Key Aliases are not supported for this operation.',
    )
  })

  for (const operation of [
    'UpdateKeyDescription',
    'EnableKey',
    'DisableKey',
    'CancelKeyDeletion',
  ] as const)
    it(`KMS-59: ${operation} needs its own permission, before the key tells its state`, async () => {
      const by = caller('other', [allowing('kms:DescribeKey')])
      const { arn } = key
      await putInState(rig, arn, 'PendingDeletion')
      await expectKmsError(
        rig.ask(operation, { keyId: arn, description: 'x' }, { by }),
        'AccessDeniedException',
        `User: ${by.arn} is not authorized to perform: kms:${operation} on resource: ${arn} because no identity-based policy allows the kms:${operation} action`,
      )
    })

  it('AT-Z09: a permission that is withdrawn while the change waits no longer holds', async () => {
    const admin = caller('root', [])
    const by = caller('lent', [])
    const policy = (...names: string[]) =>
      JSON.stringify({
        Statement: names.map((AWS) => ({
          Effect: 'Allow',
          Principal: { AWS },
          Action: 'kms:*',
          Resource: '*',
        })),
      })
    const { arn } = await rig.makeKey({ policy: policy(admin.arn, by.arn) }, { by: admin })
    const withdrawn = rig.ask(
      'PutKeyPolicy',
      { keyId: arn, policy: policy(admin.arn) },
      { by: admin },
    )
    const change = rig.ask('DisableKey', { keyId: arn }, { by }) // decided while the old policy still holds
    await withdrawn
    await expectKmsError(change, 'AccessDeniedException')
    expect(rig.storage.snapshot.findKey(arn)?.state).to.equal('Enabled')
  })

  it('leaves a trail of key, parameters and response', async () => {
    const trail = newTrail()
    await rig.ask('UpdateKeyDescription', { keyId: key.keyId, description: 'x' }, { trail })
    expect(trail).to.deep.include({
      resources: [key.arn],
      parameters: { keyId: key.keyId, description: 'x' },
      response: { keyId: key.arn },
      readOnly: false,
    })
  })
})
