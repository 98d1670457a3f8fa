import { expect } from 'chai'
import { TextOfSecond } from '../../src/bytes/text-of-second.ts'

describe('TextOfSecond', () => {
  it('is made once for all who ask within a second, in whatever order seconds come', () => {
    const made: number[] = []
    const text = new TextOfSecond((epochMs) => `${made.push(epochMs)}: ${epochMs}`)
    expect([5_000, 5_999, 6_000, 5_001].map((at) => text.at(at))).to.deep.equal([
      '1: 5000',
      '1: 5000',
      '2: 6000',
      '3: 5000',
    ])
    expect(made).to.deep.equal([5_000, 6_000, 5_000])
  })
})
