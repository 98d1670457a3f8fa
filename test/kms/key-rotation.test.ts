import { expect } from 'chai'
import { CustodyError } from '../../src/crypto/custody-error.ts'
import { exceptionOf } from './exception-of.ts'
import { putInState } from './keys-in-state.ts'
import { Rig } from './rig.ts'

const MINUTE_MS = 60 * 1000
const DAY_MS = 24 * 60 * MINUTE_MS

describe('KeyRotation', () => {
  let rig: Rig
  let arn: string
  beforeEach(async () => {
    rig = await new Rig().start()
    arn = (await rig.makeKey()).arn
    await rig.kms.heartbeat.beat()
    await rig.ask('EnableKeyRotation', { keyId: arn, rotationPeriodInDays: 90 })
  })
  afterEach(() => rig.remove())

  const rotateDue = () => rig.kms.rotation.rotateDueKeys()
  const materials = () => rig.storage.snapshot.materialsOf(arn)
  const nextAt = () => rig.storage.snapshot.findKey(arn)?.rotationSchedule?.nextAt
  const NOTHING = { rotated: [], held: [], failed: [] }

  /** So much time goes by that everybody agrees on. */
  async function pass(ms: number): Promise<void> {
    rig.clock.pass(ms)
    await rig.kms.heartbeat.accept()
  }

  it('rotates on the day and not a millisecond before, and old ciphertexts decrypt for ever', async () => {
    const due = nextAt() ?? 0
    const blobs = [await rig.encrypt(arn, 'first')]
    await pass(90 * DAY_MS - 1)
    expect(await rotateDue()).to.deep.equal(NOTHING)
    await pass(1)
    expect(await rotateDue()).to.deep.equal({ ...NOTHING, rotated: [arn] })
    expect(await rotateDue()).to.deep.equal(NOTHING)
    expect(materials()).to.have.lengthOf(2)
    expect(materials().at(-1)?.rotation).to.deep.equal({ type: 'AUTOMATIC', at: rig.clock.now() })
    expect(nextAt()).to.equal(due + 90 * DAY_MS)
    blobs.push(await rig.encrypt(arn, 'second'))
    await rig.restart()
    await pass(90 * DAY_MS)
    expect((await rotateDue()).rotated).to.deep.equal([arn])
    expect(await Promise.all(blobs.map((blob) => rig.decrypt(blob)))).to.deep.equal([
      'first',
      'second',
    ])
    expect(rig.storage.snapshot.findKey(arn)?.onDemandRotations).to.equal(0)
  })

  it('minutes of delay do not add up; a delay of days begins a new period', async () => {
    const due = nextAt() ?? 0
    await pass(90 * DAY_MS + 5 * MINUTE_MS)
    await rotateDue()
    expect(nextAt()).to.equal(due + 90 * DAY_MS)
    await pass(93 * DAY_MS)
    await rotateDue()
    expect(nextAt()).to.equal(rig.clock.now() + 90 * DAY_MS)
  })

  it('rotates once, however many dates were missed', async () => {
    await pass(1000 * DAY_MS)
    await rig.restart()
    expect((await rotateDue()).rotated).to.deep.equal([arn])
    expect(await rotateDue()).to.deep.equal(NOTHING)
    expect(materials()).to.have.lengthOf(2)
  })

  it('FM-F26: a wall clock that jumps rotates nothing until somebody accepts it', async () => {
    rig.clock.wall += 365 * DAY_MS
    await rig.kms.heartbeat.beat()
    const held = { ...NOTHING, held: [arn] }
    expect(await rotateDue()).to.deep.equal(held)
    await rig.restart()
    await rig.kms.heartbeat.beat()
    expect(await rotateDue()).to.deep.equal(held)
    expect(materials()).to.have.lengthOf(1)
    await rig.kms.heartbeat.accept()
    expect((await rotateDue()).rotated).to.deep.equal([arn])
  })

  it('a clock that is put back rotates nothing again', async () => {
    await pass(90 * DAY_MS)
    await rotateDue()
    rig.clock.wall -= 10 * DAY_MS
    expect(await rotateDue()).to.deep.equal(NOTHING)
  })

  for (const state of ['Disabled', 'PendingDeletion', 'Destroying'] as const)
    it(`leaves a key alone that is ${state}, and rotates it as soon as it is enabled`, async () => {
      await putInState(rig, arn, state)
      await pass(200 * DAY_MS)
      expect(await rotateDue()).to.deep.equal(NOTHING)
      await putInState(rig, arn, 'Enabled')
      expect((await rotateDue()).rotated).to.deep.equal([arn])
      expect(nextAt()).to.equal(rig.clock.now() + 90 * DAY_MS)
    })

  it('does nothing once rotation is off', async () => {
    await rig.ask('DisableKeyRotation', { keyId: arn })
    await pass(1000 * DAY_MS)
    expect(await rotateDue()).to.deep.equal(NOTHING)
  })

  it('FM-F28: many passes at once, and uses beside them, make exactly one material', async () => {
    await pass(90 * DAY_MS)
    const uses = Array.from({ length: 50 }, async (_, i) =>
      expect(await rig.decrypt(await rig.encrypt(arn, `${i}`))).to.equal(`${i}`),
    )
    const reports = await Promise.all(Array.from({ length: 10 }, rotateDue))
    await Promise.all(uses)
    expect(reports.flatMap((report) => report.rotated)).to.deep.equal([arn])
    expect(reports.flatMap((report) => report.failed)).to.deep.equal([])
    expect(materials()).to.have.lengthOf(2)
    expect(rig.custody.size).to.equal(2)
    expect(rig.storage.snapshot.intents()).to.deep.equal([])
  })

  it('FM-F28: a second daemon in the middle of the same rotation leaves nothing behind', async () => {
    await pass(90 * DAY_MS)
    // Another process moves the date on while the token makes the material of this one.
    rig.custody.beforeNext('make', async () => {
      await rig.storage.change((draft) => {
        const key = draft.findKey(arn)
        if (key)
          draft.putKey({
            ...key,
            rotationSchedule: { periodDays: 90, nextAt: 2 * (nextAt() ?? 0) },
          })
      })
    })
    expect(await rotateDue()).to.deep.equal(NOTHING)
    expect(materials()).to.have.lengthOf(1)
    expect(rig.custody.size, 'what was made is taken back').to.equal(1)
    expect(rig.storage.snapshot.intents()).to.deep.equal([])
    expect(rig.notices).to.deep.equal([])
  })

  it('FM-F28: an on-demand rotation beside it is refused, 20 minutes before already', async () => {
    const onDemand = () => exceptionOf(rig.ask('RotateKeyOnDemand', { keyId: arn }))
    await pass(90 * DAY_MS - 20 * MINUTE_MS - 1)
    expect(await onDemand()).to.equal(undefined)
    await pass(1)
    expect(await onDemand()).to.equal('ConflictException')
    await pass(20 * MINUTE_MS)
    const [report, refusal] = await Promise.all([rotateDue(), onDemand()])
    expect(report.rotated).to.deep.equal([arn])
    expect(refusal).to.equal('ConflictException')
    expect(await onDemand()).to.equal(undefined)
    expect(materials()).to.have.lengthOf(4)
  })

  it('a jump of the clock does not block on-demand rotation', async () => {
    rig.clock.wall += 365 * DAY_MS
    await rig.kms.heartbeat.beat()
    await rig.ask('RotateKeyOnDemand', { keyId: arn })
  })

  it('FM-F28: turning rotation off while one is under way leaves one of the two states, wholly', async () => {
    await pass(90 * DAY_MS)
    const [report] = await Promise.all([rotateDue(), rig.ask('DisableKeyRotation', { keyId: arn })])
    expect(materials()).to.have.lengthOf(1 + report.rotated.length)
    expect(rig.custody.size).to.equal(1 + report.rotated.length)
    expect(nextAt()).to.equal(undefined)
    expect(rig.storage.snapshot.intents()).to.deep.equal([])
  })

  it('a token that fails is told to the operator and tried again', async () => {
    await pass(90 * DAY_MS)
    rig.custody.beforeNext('make', () => {
      throw new CustodyError('LOGIN_REFUSED', 'latched')
    })
    expect(await rotateDue()).to.deep.equal({ ...NOTHING, failed: [arn] })
    expect(rig.notices.map(({ level, keyArn }) => ({ level, keyArn }))).to.deep.equal([
      { level: 'error', keyArn: arn },
    ])
    expect((await rotateDue()).rotated).to.deep.equal([arn])
  })

  it('FM-F30: does nothing while storage is read-only', async () => {
    await pass(90 * DAY_MS)
    rig.storage.setReadOnly('older than the token')
    expect(await rotateDue()).to.deep.equal(NOTHING)
    expect(rig.custody.countOf('make')).to.equal(1)
  })

  it('one key that fails does not hold up the others', async () => {
    const other = (await rig.makeKey()).arn
    await rig.ask('EnableKeyRotation', { keyId: other, rotationPeriodInDays: 90 })
    await pass(90 * DAY_MS)
    rig.custody.beforeNext('make', () => {
      throw new CustodyError('DEVICE_GONE', 'gone')
    })
    const report = await rotateDue()
    expect([...report.failed, ...report.rotated]).to.have.members([arn, other])
    expect(report.failed).to.have.lengthOf(1)
  })
})
