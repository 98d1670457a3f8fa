import { expect } from 'chai'
import { FailureLog, SparseLog } from '../../src/http/sparse-log.ts'
import { UnrecordedError } from '../../src/http/unrecorded-error.ts'

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

describe('FailureLog', () => {
  let logged: Readonly<Record<string, unknown>>[]
  let nowMs: number
  let log: FailureLog
  beforeEach(() => {
    logged = []
    nowMs = 0
    const error = (message: string, facts: object) => logged.push({ message, ...facts })
    log = new FailureLog({ error }, () => nowMs)
  })

  it('of each code tells the first whole, then one a second with the number of those kept back', () => {
    const error = new Error('the token is gone')
    for (nowMs = 0; nowMs < 3_000; nowMs++) {
      log.note({ requestId: `${nowMs}`, operation: 'Encrypt', code: 'Internal', error })
      if (nowMs === 500) log.note({ requestId: 'late', operation: 'Decrypt', code: 'Late', error })
    }
    const row = (
      requestId: string,
      keptBack: number,
      operation = 'Encrypt',
      code = 'Internal',
    ) => ({
      message: 'request failed',
      requestId,
      operation,
      code,
      error,
      keptBack,
    })
    expect(logged).to.deep.equal([
      row('0', 0),
      row('late', 0, 'Decrypt', 'Late'),
      row('1000', 999),
      row('2000', 999),
    ])
  })

  it('tells both why a request failed and why there is no record of it', () => {
    const [cause, recordError] = [new Error('the token is gone'), new Error('spool is full')]
    const error = new UnrecordedError(cause, recordError)
    log.note({ requestId: '1', operation: 'Encrypt', code: 'Internal', error })
    expect(logged[0]).to.include({ error: cause, recordError })
  })
})
