import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { ENCRYPT, refusal, XksRig } from './rig.ts'

describe('the deadline of the XKS proxy', () => {
  it('XKS X-11: hands over the work that goes on behind a late answer, and only then', async () => {
    const rig = new XksRig()
    const handed: Promise<unknown>[] = []
    const goesOn = (work: Promise<unknown>) => void handed.push(work)
    rig.parts = { ...rig.parts, deadlineMs: 500 }
    await rig.perform('Encrypt', ENCRYPT, { goesOn })
    expect(handed).to.deep.equal([])

    rig.parts = { ...rig.parts, deadlineMs: 5 }
    const { promise, resolve } = Promise.withResolvers<void>()
    rig.custody.beforeNext('encrypt', () => promise)
    await refusal(rig.perform('Encrypt', ENCRYPT, { goesOn }), 503, 'DependencyTimeoutException')
    expect(handed).to.have.lengthOf(1)
    let done = false
    void handed[0]?.then(() => (done = true))
    await pause(5)
    expect(done).to.equal(false)
    resolve()
    await handed[0]
  })
})
