import { expect } from 'chai'
import { equalBytes } from '../../src/bytes/equal.ts'

describe('equalBytes', () => {
  const CASES: [string, number[], number[], boolean][] = [
    ['the same bytes', [1, 2, 3], [1, 2, 3], true],
    ['a different first byte', [0, 2, 3], [1, 2, 3], false],
    ['a different last byte', [1, 2, 3], [1, 2, 0], false],
    ['a shorter second', [1, 2, 3], [1, 2], false],
    ['a longer second', [1, 2], [1, 2, 3], false],
    ['nothing against nothing', [], [], true],
    ['nothing against something', [], [0], false],
  ]
  for (const [what, a, b, equal] of CASES) {
    it(`answers ${equal} for ${what}`, () => {
      expect(equalBytes(Uint8Array.from(a), Uint8Array.from(b))).to.equal(equal)
    })
  }
})
