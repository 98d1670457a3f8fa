import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import type { Session } from '../../src/pkcs11/session.ts'
import { IvSource } from '../../src/token/iv-source.ts'

describe('IvSource', () => {
  /** A session that keeps what it gives. */
  const fakeSession = (random: (bytes: number) => Buffer = randomBytes) => {
    const given: Buffer[] = []
    const session = {
      random: (bytes: number) => {
        given.push(random(bytes))
        return given.at(-1) as Buffer
      },
    } as Session
    return { session, given }
  }

  it('hands out each byte of a batch once, and draws the next batch whole', () => {
    const { session, given } = fakeSession()
    const source = new IvSource(100)
    const ivs = Array.from({ length: 130 }, () => source.draw(session, 12))
    expect(given.map(({ length }) => length)).to.deep.equal([768, 768, 768])
    expect(Buffer.concat(ivs)).to.deep.equal(Buffer.concat(given).subarray(0, 130 * 12))
  })

  it('leaves an IV as it is when the next batch is drawn', () => {
    const { session } = fakeSession()
    const source = new IvSource(0)
    const first = source.draw(session, 16)
    const before = Buffer.from(first)
    for (let i = 0; i < 100; i += 1) source.draw(session, 16)
    expect(first).to.deep.equal(before)
  })

  it('draws as much as the profile wants at once', () => {
    const { session, given } = fakeSession()
    new IvSource(4096).draw(session, 12)
    expect(given.map(({ length }) => length)).to.deep.equal([4096])
  })

  it('refuses zeros, and keeps none of them (FM-F43)', () => {
    let bad = true
    const { session } = fakeSession((bytes) => (bad ? Buffer.alloc(bytes) : randomBytes(bytes)))
    const source = new IvSource(0)
    expect(() => source.draw(session, 12))
      .to.throw()
      .with.property('code', 'TOKEN_LIED')
    bad = false
    expect(source.draw(session, 12)).not.to.deep.equal(Buffer.alloc(12))
  })
})
