import { expect } from 'chai'
import { clockAgrees, nodeVersion } from '../../src/daemon/doctor.ts'

const HOUR_MS = 3_600_000

describe('doctor', () => {
  it('knows which node is too old', () => {
    for (const version of ['18.20.1', '22.18.0', '20.99.0'])
      expect(() => nodeVersion(version)).throw('older than')
    for (const version of ['22.19.0', '24.21.0', '23.0.0'])
      expect(nodeVersion(version)).equal(version)
  })

  it('FM-F26: sees a clock that was set back, and tells of one that is ahead', () => {
    const now = 1_800_000_000_000
    expect(() => clockAgrees(now - HOUR_MS, now)).throw('3600 s behind')
    expect(clockAgrees(now + HOUR_MS, now)).include('3600 s ago')
    expect(clockAgrees(now + 1000, now)).include('agrees')
    expect(clockAgrees(now, 0)).include('no daemon')
  })
})
