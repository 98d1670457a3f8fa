import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import type { Session } from '../../src/pkcs11/session.ts'
import { RandomSource } from '../../src/token/random-source.ts'
import { itemAt } from '../support/item-at.ts'

describe('the random source', () => {
  /** A session that counts what is drawn and keeps the buffers that it gave. */
  const fakeSession = () => {
    const given: Buffer[] = []
    const session = {
      random: (bytes: number) => {
        given.push(randomBytes(bytes))
        return itemAt(given, -1)
      },
    } as Session
    return { session, given }
  }

  it('draws exactly what is asked where the profile wants no batches', () => {
    const { session, given } = fakeSession()
    const source = new RandomSource(0)
    expect(source.draw(session, 12)).to.have.length(12)
    expect(source.draw(session, 32)).to.have.length(32)
    expect(given.map(({ length }) => length)).to.deep.equal([12, 32])
  })

  it('draws a batch once and hands it out in pieces that do not overlap', () => {
    const { session, given } = fakeSession()
    const source = new RandomSource(100)
    const copyOf = () => Buffer.from(itemAt(given, 0))
    const first = source.draw(session, 12)
    const rest = copyOf()
    const second = source.draw(session, 32)
    expect(given.map(({ length }) => length)).to.deep.equal([100])
    expect(rest.subarray(12, 44)).to.deep.equal(second)
    expect(first.equals(second.subarray(0, 12))).to.equal(false)
  })

  it('wipes each piece from the batch as it is handed out (AT-K09)', () => {
    const { session, given } = fakeSession()
    new RandomSource(100).draw(session, 40)
    expect(itemAt(given, 0).subarray(0, 40)).to.deep.equal(Buffer.alloc(40))
    expect(itemAt(given, 0).subarray(40).equals(Buffer.alloc(60))).to.equal(false)
  })

  it('draws the next batch, whole, when the rest is too short, and wipes that rest', () => {
    const { session, given } = fakeSession()
    const source = new RandomSource(100)
    source.draw(session, 90)
    expect(source.draw(session, 20)).to.have.length(20)
    expect(given).to.have.length(2)
    expect(given[0]).to.deep.equal(Buffer.alloc(100))
  })

  it('draws what is longer than a batch by itself', () => {
    const { session, given } = fakeSession()
    const source = new RandomSource(100)
    expect(source.draw(session, 1000)).to.have.length(1000)
    expect(given.map(({ length }) => length)).to.deep.equal([1000])
  })

  it('refuses zeros (FM-F43)', () => {
    const zeros = { random: (bytes: number) => Buffer.alloc(bytes) } as Session
    for (const batchBytes of [0, 100])
      expect(() => new RandomSource(batchBytes).draw(zeros, 32))
        .to.throw()
        .with.property('code', 'TOKEN_LIED')
  })
})
