import { hash } from 'node:crypto'
import { expect } from 'chai'
import { SeenSignatures } from '../../src/http/seen-signatures.ts'

const T0 = Date.UTC(2015, 7, 30, 12, 36, 0)
const SIGNATURE = hash('sha256', 'a request')

/** Signed so many seconds after `T0`, and arriving in the same second unless said otherwise. */
function note(seen: SeenSignatures, signature: string, signed = 0, arrives = signed): boolean {
  const verified = {
    accessKeyId: 'A',
    region: 'eu-west-1',
    signature,
    signedAt: T0 + signed * 1000,
  }
  return seen.note(verified, T0 + arrives * 1000 + 999)
}

describe('SeenSignatures', () => {
  it('AT-S24: knows a signature again for as long as it is good', () => {
    for (const signed of [-300, 0, 300]) {
      const seen = new SeenSignatures()
      expect(note(seen, SIGNATURE, signed, 0)).equal(false)
      for (const arrives of [0, 1, signed + 300])
        expect(note(seen, SIGNATURE, signed, arrives)).equal(true)
    }
  })

  it('AT-S24: takes none for another that differs in one of the bits it keeps, or in its second', () => {
    for (const at of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16])
      for (const bit of [1, 2, 4, 8]) {
        const digit = (Number.parseInt(SIGNATURE[at] as string, 16) ^ bit).toString(16)
        const other = SIGNATURE.slice(0, at) + digit + SIGNATURE.slice(at + 1)
        const seen = new SeenSignatures(4)
        note(seen, SIGNATURE)
        expect(note(seen, other), `digit ${at}`).equal(false)
        expect(note(seen, SIGNATURE, 1)).equal(false)
        expect(note(seen, SIGNATURE)).equal(true)
      }
  })

  it('AT-S24: forgets none of five minutes and makes none up, as full as 1,800 a second make it', () => {
    const indexBits = 12
    const perSecond = 1800 / 2 ** (17 - indexBits)
    const seen = new SeenSignatures(indexBits)
    const requests = Array.from({ length: perSecond * 300 }, (_, i) => ({
      signature: hash('sha256', `${i}`),
      second: Math.floor(i / perSecond),
    }))
    const count = (arrives?: number) =>
      requests.filter(({ signature, second }) => note(seen, signature, second, arrives)).length
    expect(count()).equal(0)
    expect(count(299)).equal(requests.length)
  })

  describe('a bucket that is full', () => {
    const all = Array.from({ length: 17 }, (_, i) => hash('sha256', `${i}`))
    const fill = (seen: SeenSignatures) =>
      all.slice(0, 16).forEach((signature, second) => note(seen, signature, 16 - second))

    it('forgets the one that is the first to end', () => {
      const seen = new SeenSignatures(0)
      fill(seen)
      expect(note(seen, all[16] as string, 17)).equal(false)
      const kept = [...all.keys()].filter((i) => i !== 15)
      for (const i of kept) expect(note(seen, all[i] as string, i === 16 ? 17 : 16 - i)).equal(true)
      expect(note(seen, all[15] as string, 1)).equal(false)
    })

    for (const [hours, seconds] of [
      [0.1, 360],
      [11, 40_000],
      [18, 65_536 + 301],
      [20, 72_000],
    ] as const)
      it(`has room for others when its own have ended, ${hours} hours later`, () => {
        const seen = new SeenSignatures(0)
        fill(seen)
        const later = all.map((signature) => hash('sha256', signature)).slice(0, 16)
        for (const signature of later) expect(note(seen, signature, seconds)).equal(false)
        for (const signature of later) expect(note(seen, signature, seconds)).equal(true)
      })
  })
})
