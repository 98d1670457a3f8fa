import { expect } from 'chai'
import type { LaneProcess } from '../../src/token/lane-process.ts'
import { LaneRotation } from '../../src/token/lane-rotation.ts'

function lane(name: string, pendingCalls = 0): LaneProcess {
  return { name, pendingCalls } as LaneProcess
}
const NOBODY: ReadonlySet<LaneProcess> = new Set()

describe('lane rotation', () => {
  it('gives the lane with the fewest calls under way', () => {
    const rotation = new LaneRotation()
    const idle = lane('idle', 1)
    rotation.put(lane('busy', 5))
    rotation.put(idle)
    expect(rotation.find(NOBODY)).to.equal(idle)
  })

  it('passes over lanes that already refused', () => {
    const rotation = new LaneRotation()
    const only = lane('only')
    rotation.put(only)
    expect(rotation.find(new Set([only]))).to.equal(undefined)
  })

  it('does not seat a lane twice', () => {
    const rotation = new LaneRotation()
    const one = lane('one')
    rotation.put(one)
    rotation.put(one)
    expect(rotation.size).to.equal(1)
    expect(rotation.take(one)).to.equal(true)
    expect(rotation.take(one)).to.equal(false)
  })

  it('hands a lane that enters to whoever waits for it, and not to whoever it refused', async () => {
    const rotation = new LaneRotation()
    const refused = lane('refused')
    const other = lane('other')
    const waiting = rotation.waitFor(new Set([refused]), Date.now() + 1000)
    rotation.put(refused)
    rotation.put(other)
    expect(await waiting).to.equal(other)
  })

  it('says DEVICE_GONE when nobody enters in time', async () => {
    const rotation = new LaneRotation()
    const failure = await rotation.waitFor(NOBODY, Date.now() + 5).catch((error) => error)
    expect(failure).to.have.property('code', 'DEVICE_GONE')
  })
})
