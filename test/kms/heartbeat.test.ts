import { expect } from 'chai'
import { createKms } from '../../src/kms/create-kms.ts'
import { Rig } from './rig.ts'

const MINUTE_MS = 60 * 1000
const HOUR_MS = 60 * MINUTE_MS

describe('Heartbeat', () => {
  let rig: Rig
  let start: number
  beforeEach(async () => {
    rig = await new Rig().start()
    start = rig.clock.now()
    await beat()
  })
  afterEach(() => rig.remove())

  const beat = () => rig.kms.heartbeat.beat()
  const agreed = () => rig.kms.heartbeat.agreedNow() - start

  it('follows a clock that runs as it should', async () => {
    for (let i = 0; i < 3; i++) {
      rig.clock.pass(MINUTE_MS)
      expect(await beat()).to.deep.equal({ aheadMs: 0, held: false })
    }
    expect(agreed()).to.equal(3 * MINUTE_MS)
  })

  it('takes small corrections, also across a restart', async () => {
    rig.clock.wall += 59 * MINUTE_MS
    expect((await beat()).held).to.equal(false)
    await rig.restart()
    rig.clock.wall += 30 * MINUTE_MS
    expect((await beat()).held).to.equal(false)
    expect(agreed()).to.equal(89 * MINUTE_MS)
  })

  it('FM-F26: after a jump it counts only the time that really passes', async () => {
    rig.clock.wall += 100 * HOUR_MS
    await beat()
    rig.clock.pass(30 * MINUTE_MS)
    expect(await beat()).to.deep.equal({ aheadMs: 100 * HOUR_MS, held: true })
    expect(agreed()).to.equal(30 * MINUTE_MS)
  })

  it('FM-F26: comes back by itself when the clock is put right', async () => {
    rig.clock.wall += 100 * HOUR_MS
    await beat()
    rig.clock.wall -= 100 * HOUR_MS
    rig.clock.pass(MINUTE_MS)
    expect(await beat()).to.deep.equal({ aheadMs: 0, held: false })
  })

  it('never goes back, and a clock that does wins', async () => {
    rig.clock.wall -= 10 * HOUR_MS
    expect((await beat()).held).to.equal(false)
    expect(rig.storage.snapshot.heartbeat).to.equal(start)
    expect(agreed()).to.equal(-10 * HOUR_MS)
  })

  it('beats on while storage is read-only', async () => {
    rig.storage.setReadOnly('older than the token')
    rig.clock.pass(MINUTE_MS)
    await beat()
    expect(agreed()).to.equal(MINUTE_MS)
  })

  it('FM-F26: several daemons that beat count the time once', async () => {
    const other = createKms({ storage: rig.storage, custody: rig.custody, clock: rig.clock })
    await other.heartbeat.beat()
    rig.clock.wall += 100 * HOUR_MS
    for (let minute = 0; minute < 60; minute++) {
      rig.clock.pass(MINUTE_MS / 2)
      await beat()
      rig.clock.pass(MINUTE_MS / 2)
      await other.heartbeat.beat()
    }
    expect(agreed()).to.be.within(58 * MINUTE_MS, 60 * MINUTE_MS)
  })

  it('FM-F26: goes on from where an operator of another daemon has put it back', async () => {
    const other = createKms({ storage: rig.storage, custody: rig.custody, clock: rig.clock })
    rig.clock.wall += 100 * HOUR_MS
    await other.heartbeat.accept() // wrongly
    await beat()
    rig.clock.wall -= 100 * HOUR_MS
    await other.heartbeat.accept()
    rig.clock.pass(MINUTE_MS)
    expect(await beat()).to.deep.equal({ aheadMs: 0, held: false })
    expect(agreed()).to.equal(MINUTE_MS)
  })
})
