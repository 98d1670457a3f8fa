import { expect } from 'chai'
import { PendingCalls } from '../../src/token/pending-calls.ts'

interface Call {
  readonly name: string
}

describe('PendingCalls', () => {
  it('gives a call back once, to whoever knows its number', () => {
    const pending = new PendingCalls<Call>()
    const [a, b] = [pending.add({ name: 'a' }), pending.add({ name: 'b' })]
    expect(pending.take(b)).to.deep.equal({ name: 'b' })
    expect(pending.take(b)).to.equal(undefined)
    expect(pending.size).to.equal(1)
    expect(pending.take(a)).to.deep.equal({ name: 'a' })
    expect(pending.size).to.equal(0)
  })

  it('never gives a call to the number of another, however long that one is under way', () => {
    const pending = new PendingCalls<Call>()
    const slow = pending.add({ name: 'slow' })
    const late = pending.add({ name: 'late' })
    pending.take(late)
    for (let i = 0; i < 10_000; i += 1) {
      const id = pending.add({ name: `${i}` })
      expect(id).not.to.be.oneOf([slow, late])
      expect(pending.take(late), 'an answer that comes too late').to.equal(undefined)
      expect(pending.take(id)).to.deep.equal({ name: `${i}` })
    }
    expect(pending.take(slow)).to.deep.equal({ name: 'slow' })
  })

  it('takes as many as there are', () => {
    const pending = new PendingCalls<Call>()
    const ids = Array.from({ length: 5_000 }, (_, i) => pending.add({ name: `${i}` }))
    expect(pending.size).to.equal(5_000)
    for (const [i, id] of ids.entries()) expect(pending.take(id)?.name).to.equal(`${i}`)
  })

  it('finds and takes out what is asked for', () => {
    const pending = new PendingCalls<Call>()
    for (const name of ['a', 'b', 'a', 'c']) pending.add({ name })
    expect(pending.find(({ name }) => name === 'c')).to.deep.equal({ name: 'c' })
    expect(pending.takeAll(({ name }) => name === 'a')).to.have.length(2)
    expect(pending.find(({ name }) => name === 'a')).to.equal(undefined)
    expect(pending.takeAll()).to.deep.equal([{ name: 'b' }, { name: 'c' }])
    expect(pending.size).to.equal(0)
  })
})
