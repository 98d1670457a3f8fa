import { expect } from 'chai'
import { SparseLog } from '../../src/http/sparse-log.ts'

describe('SparseLog', () => {
  it('warns once a second and counts what it kept back', () => {
    const warned: unknown[] = []
    let nowMs = 0
    const log = new SparseLog(
      { warn: (message, facts) => warned.push([message, facts]) },
      () => nowMs,
    )
    for (nowMs = 0; nowMs < 2_500; nowMs += 250) log.warn('refused', { at: nowMs })
    expect(warned).to.deep.equal([
      ['refused', { at: 0, keptBack: 0 }],
      ['refused', { at: 1000, keptBack: 3 }],
      ['refused', { at: 2000, keptBack: 3 }],
    ])
  })
})
