import { expect } from 'chai'
import { formatAmzDate, parseAmzDate } from '../../src/sigv4/amz-date.ts'

describe('parseAmzDate', () => {
  for (const iso of ['2026-11-22T05:15:00Z', '2024-02-29T23:59:59Z', '9999-12-31T23:59:59Z']) {
    it(`reads back ${iso}`, () => {
      const seconds = Date.parse(iso) / 1000
      expect(parseAmzDate(formatAmzDate(seconds))).to.equal(seconds)
    })
  }

  for (const text of [
    '20260231T000000Z',
    '20250229T000000Z',
    '20260001T000000Z',
    '20261301T000000Z',
    '20260100T000000Z',
    '20261122T240000Z',
    '20261122T006000Z',
    '20261122T000060Z',
    '00991122T000000Z',
    '20261122t051500z',
    '20261122T051500',
    '2026-11-22T05:15:00Z',
    ' 20261122T051500Z',
    '',
  ]) {
    it(`AT-S08: knows no time ${JSON.stringify(text)}`, () =>
      expect(parseAmzDate(text)).to.equal(undefined))
  }
})
