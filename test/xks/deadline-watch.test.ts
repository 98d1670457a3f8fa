import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { DeadlineWatch } from '../../src/xks/deadline-watch.ts'

const LATE = new Error('late')
const late = (): Error => LATE
const never = new Promise<string>(() => {})
const outcome = (work: Promise<unknown>) => work.catch((error: unknown) => error)

describe('DeadlineWatch', () => {
  it('gives what the work gives, or how it fails', async () => {
    const watch = new DeadlineWatch(1_000)
    const failure = new Error('failed')
    expect(await watch.within(Promise.resolve('made'), late)).to.equal('made')
    expect(await outcome(watch.within(Promise.reject(failure), late))).to.equal(failure)
  })

  it('XKS X-11: gives up what takes longer, each at its own time and not before', async () => {
    const watch = new DeadlineWatch(40)
    const startedAt = performance.now()
    const first = outcome(watch.within(never, late))
    await pause(20)
    const second = outcome(watch.within(never, late))
    expect(await first).to.equal(LATE)
    expect(performance.now() - startedAt).to.be.within(40, 59)
    expect(await second).to.equal(LATE)
    expect(performance.now() - startedAt).to.be.at.least(60)
  })

  it('counts from when the whole began', async () => {
    const watch = new DeadlineWatch(60_000)
    expect(await outcome(watch.within(never, late, performance.now() - 60_000))).to.equal(LATE)
  })

  it('asks for the reason once, and only when it is late', async () => {
    const watch = new DeadlineWatch(10)
    let asked = 0
    const reason = (): Error => {
      asked += 1
      return LATE
    }
    await watch.within(Promise.resolve(), reason)
    await pause(25)
    expect(asked).to.equal(0)
    await outcome(watch.within(never, reason))
    await pause(25)
    expect(asked).to.equal(1)
  })
})
