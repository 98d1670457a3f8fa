import { expect } from 'chai'
import { AdmissionLimit } from '../../src/http/admission-limit.ts'
import { SeededRandom } from '../support/seeded-random.ts'

describe('AdmissionLimit', () => {
  let nowMs: number
  const limitOf = (options: { fewest?: number; most?: number; targetMs?: number }) =>
    new AdmissionLimit(() => nowMs, options)
  beforeEach(() => {
    nowMs = 0
  })

  it('lets in as many as may be inside, and again whoever comes when one has left', () => {
    const limit = limitOf({ fewest: 1, most: 2 })
    const first = limit.tryEnter()
    expect([first, limit.tryEnter(), limit.tryEnter()]).to.deep.equal([0, 0, undefined])
    limit.leave(0)
    expect(limit.tryEnter()).to.equal(0)
    expect(limit.inside).to.equal(2)
  })

  /** Lets `ms` pass in which one call after another takes `tookMs`. */
  function pass(limit: AdmissionLimit, ms: number, tookMs: number): void {
    for (const end = nowMs + ms; nowMs < end; ) {
      const enteredAt = limit.tryEnter() ?? expect.fail('no room')
      nowMs += tookMs
      limit.leave(enteredAt)
    }
  }

  it('lets in fewer while even the quickest call takes longer than the target', () => {
    const limit = limitOf({ fewest: 10, most: 100, targetMs: 50 })
    pass(limit, 1_000, 60)
    expect(limit.limit).to.be.within(10, 20)
    pass(limit, 10_000, 60)
    expect(limit.limit).to.equal(10)
  })

  it('a single slow call among quick ones changes nothing', () => {
    const limit = limitOf({ fewest: 10, most: 100, targetMs: 50 })
    const before = limit.limit
    for (let i = 0; i < 20; i++) {
      pass(limit, 90, 1)
      pass(limit, 1, 200)
      pass(limit, 100, 1)
    }
    expect(limit.limit).to.be.at.least(before)
  })

  it('begins with little room, so that a flood finds no queue to wait in', () => {
    expect(limitOf({ fewest: 10, most: 1000 }).limit).to.equal(40)
    expect(limitOf({ fewest: 10, most: 20 }).limit).to.equal(20)
  })

  it('lets in more again when there is time for them and somebody was refused', () => {
    const limit = limitOf({ fewest: 10, most: 100, targetMs: 50 })
    pass(limit, 10_000, 60)
    pass(limit, 10_000, 1)
    expect(limit.limit, 'nobody was refused').to.equal(10)
    for (let i = 0; i < 100; i++) {
      const entered = Array.from({ length: 101 }, () => limit.tryEnter())
      nowMs += 20
      for (const at of entered) if (at !== undefined) limit.leave(at)
      nowMs += 100
    }
    expect(limit.limit).to.equal(100)
  })

  it('a token that answers nobody is waited for by as many as may, and no more', () => {
    const limit = limitOf({ most: 100 })
    const answers = Array.from({ length: 500 }, () => limit.tryEnter())
    expect(answers.filter((at) => at !== undefined)).to.have.lengthOf(100)
  })

  /**
   * A token that serves `perSecond` in turn, offered `times` as many, each worth something only within 200 ms.
   * Answers how much of the token's capacity was worth something.
   */
  function goodput(limit: AdmissionLimit, times: number, perSecond: number): number {
    const random = new SeededRandom(20261122)
    const serviceMs = 1000 / perSecond
    const queue: number[] = []
    let [good, freeAt, nextAt] = [0, 0, 0]
    const warmUpMs = 5_000
    const endMs = 20_000
    while (nowMs < endMs) {
      const [enteredAt] = queue
      if (enteredAt !== undefined && freeAt <= nextAt) {
        nowMs = freeAt
        queue.shift()
        limit.leave(enteredAt)
        if (nowMs > warmUpMs && nowMs - enteredAt <= 200) good += 1
        freeAt = nowMs + serviceMs
      } else {
        nowMs = nextAt
        nextAt += (-Math.log(1 - random.next()) * serviceMs) / times
        const at = limit.tryEnter()
        if (at === undefined) continue
        if (queue.length === 0) freeAt = nowMs + serviceMs
        queue.push(at)
      }
    }
    return (good * 1000) / ((endMs - warmUpMs) * perSecond)
  }

  for (const perSecond of [500, 2_000, 10_000]) {
    it(`at four times the capacity of ${perSecond}/s at least 85 % of it are answered in time`, () => {
      expect(goodput(limitOf({}), 4, perSecond)).to.be.at.least(0.85)
    })
  }

  it('without a limit hardly anything is: the measure measures', () => {
    const all = limitOf({ fewest: Number.MAX_SAFE_INTEGER, most: Number.MAX_SAFE_INTEGER })
    expect(goodput(all, 4, 500)).to.be.at.most(0.1)
  })
})
