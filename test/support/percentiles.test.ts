import { expect } from 'chai'
import { median, percentiles } from './percentiles.ts'

describe('percentiles', () => {
  it('are samples, by nearest rank', () => {
    const thousand = Array.from({ length: 1000 }, (_, i) => 1000 - i)
    expect(percentiles(thousand)).to.deep.equal({
      count: 1000,
      p50: 500,
      p90: 900,
      p99: 990,
      p999: 999,
      max: 1000,
    })
  })

  it('of one sample are that sample', () => {
    expect(percentiles([7])).to.deep.equal({ count: 1, p50: 7, p90: 7, p99: 7, p999: 7, max: 7 })
  })

  it('of nothing are not a number', () => {
    expect(percentiles([])).to.deep.include({ count: 0, p50: Number.NaN, max: Number.NaN })
  })

  it('sort by value, not as text', () => {
    expect(percentiles([10, 9, 100]).p50).to.equal(10)
  })
})

describe('median', () => {
  it('is the middle, or the mean of the two middle ones', () => {
    expect(median([9, 1, 10])).to.equal(9)
    expect(median([4, 1, 3, 2])).to.equal(2.5)
  })
})
