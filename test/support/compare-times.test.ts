import { expect } from 'chai'
import { compareTimes, welch } from './compare-times.ts'
import { SeededRandom } from './seeded-random.ts'

describe('compareTimes', () => {
  it('is Welch’s t', () => {
    const { t, differenceMicroseconds, meanMicroseconds } = welch(
      Float64Array.of(1, 2, 3, 4),
      Float64Array.of(3, 5, 7, 9, 11),
    )
    expect([differenceMicroseconds, meanMicroseconds]).deep.equal([4.5, 2.5])
    expect(t).closeTo(4.5 / Math.sqrt(5 / 3 / 4 + 10 / 5), 1e-12)
  })

  it('sees that one way takes longer, whichever it is', async () => {
    const spin = (microseconds: number) => async () => {
      const until = process.hrtime.bigint() + BigInt(microseconds * 1000)
      while (process.hrtime.bigint() < until);
    }
    const plan = { pairs: 500, random: new SeededRandom(1) }
    const later = await compareTimes({ ...plan, a: spin(20), b: spin(40) })
    const sooner = await compareTimes({ ...plan, a: spin(40), b: spin(20) })
    expect(later.t).above(4.5)
    expect(sooner.t).below(-4.5)
  })
})
