import { expect } from 'chai'
import type { LaneProcess } from '../../src/token/lane-process.ts'
import { LaneRotation } from '../../src/token/lane-rotation.ts'

function lane(name: string, pendingCalls = 0, collecting = false): LaneProcess {
  return { name, pendingCalls, collecting } as LaneProcess
}
const anyLane = () => true

describe('lane rotation', () => {
  it('gives the lane with the fewest calls under way', () => {
    const rotation = new LaneRotation()
    const idle = lane('idle', 1)
    rotation.put(lane('busy', 5))
    rotation.put(idle)
    expect(rotation.find(anyLane)).to.equal(idle)
  })

  it('prefers a lane that is about to write anyway, by a few calls', () => {
    const rotation = new LaneRotation()
    const collecting = lane('collecting', 3, true)
    rotation.put(lane('idle', 0))
    rotation.put(collecting)
    expect(rotation.find(anyLane)).to.equal(collecting)
    rotation.put(lane('idler', -10))
    expect(rotation.find(anyLane)).not.to.equal(collecting)
  })

  it('passes over lanes that already refused', () => {
    const rotation = new LaneRotation()
    const only = lane('only')
    rotation.put(only)
    expect(rotation.find((candidate) => candidate !== only)).to.equal(undefined)
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
    const waiting = rotation.waitFor((lane) => lane !== refused, Date.now() + 1000)
    rotation.put(refused)
    rotation.put(other)
    expect(await waiting).to.equal(other)
  })

  it('says DEVICE_GONE when nobody enters in time', async () => {
    const rotation = new LaneRotation()
    const failure = await rotation.waitFor(anyLane, Date.now() + 5).catch((error) => error)
    expect(failure).to.have.property('code', 'DEVICE_GONE')
  })
})
