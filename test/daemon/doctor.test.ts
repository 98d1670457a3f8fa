import { expect } from 'chai'
import { loadConfig } from '../../src/daemon/config.ts'
import { clockAgrees, describeToken, nodeVersion } from '../../src/daemon/doctor.ts'
import type { TokenInfo } from '../../src/pkcs11/pkcs11-module.ts'

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

  it("FM-R4: tells from the token's flags, without a login, that a PIN is locked or one try from it", () => {
    const config = loadConfig({ stateDirectory: '/srv/state' }, {})
    const token = (flags: Partial<TokenInfo> = {}): TokenInfo => ({
      ...{ label: 'hsm-bridge', serial: '1', manufacturer: 'm', model: 'm' },
      ...{ hardware: '1.0', firmware: '1.0' },
      ...{ initialized: true, loginRequired: true, userPinInitialized: true, maxSessions: 0 },
      ...{ userPinCountLow: false, userPinFinalTry: false, userPinLocked: false, ...flags },
    })
    expect(describeToken(config, [token()])).include('serial 1')
    expect(describeToken(config, [token({ userPinCountLow: true })])).include(
      'wrong PINs were tried',
    )
    expect(() => describeToken(config, [token({ userPinFinalTry: true })])).throw(
      'one more wrong PIN',
    )
    expect(() => describeToken(config, [token({ userPinLocked: true })])).throw('is locked')
    expect(() => describeToken(config, [])).throw('0 tokens have the label')
    expect(() => describeToken(config, [token(), token()])).throw('2 tokens')
  })
})
