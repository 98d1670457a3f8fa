import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { startCheckedXksLoad } from '../support/checked-xks-load.ts'
import type { Hang } from '../support/fault-module.ts'
import { XksDaemonUnderTest } from '../support/xks-daemon.ts'

const KEY = 'key'
const PER_SECOND = 200
const BEFORE_MS = 300
const AFTER_MS = 700

describe('XKS face under 200 requests a second, half Encrypt, half Decrypt', function () {
  this.timeout(60_000)
  let bridge: XksDaemonUnderTest

  before(async () => {
    bridge = await XksDaemonUnderTest.start({ faults: { record: false } })
    await bridge.createKey(KEY)
  })
  after(() => bridge.stop())
  beforeEach(async () => {
    bridge.daemon.faults.clear()
    await bridge.daemon.whole()
  })

  const rules = (...lines: string[]) => bridge.daemon.faults.rules(lines)
  const onceInEachLane = (call: string, action: string) =>
    bridge.daemon.lanePids('hot').map((pid) => `${call} ${action} pid=${pid} count=1`)

  /** AWS KMS repeats only what the network lost, so every failure would be seen. */
  async function costsNothing(fault: () => Promise<void> | void): Promise<void> {
    const load = await startCheckedXksLoad({
      endpoint: bridge.endpoint(),
      keyId: KEY,
      perSecond: PER_SECOND,
    })
    await pause(BEFORE_MS)
    await fault()
    await pause(AFTER_MS)
    const { sent, wrong, failures, dropped } = await load.stop()
    expect(failures.map(({ operation, message }) => `${operation}: ${message}`)).deep.equal([])
    expect({ wrong, dropped }).deep.equal({ wrong: 0, dropped: 0 })
    expect(sent).greaterThan((PER_SECOND * (BEFORE_MS + AFTER_MS)) / 2000)
  }

  it('FM-F13: SIGKILL of each lane in turn costs no request', () =>
    costsNothing(async () => {
      for (const victim of bridge.daemon.lanePids('hot')) {
        process.kill(victim, 'SIGKILL')
        await pause(50) // noticed
        await bridge.daemon.whole()
      }
    }))

  for (const call of ['C_Encrypt', 'C_Decrypt'])
    it(`CKR_DEVICE_ERROR of one ${call} costs no request`, () =>
      costsNothing(() => rules(`${call} rv=0x30 lane=hot count=1`)))

  it('XKS E-15: a ciphertext that one call spoils costs no request', () =>
    costsNothing(() => rules('C_Encrypt flip=9 lane=hot count=1')))

  it('FM-F12: one call that hangs costs no request', async () => {
    let hang: Hang | undefined
    await costsNothing(() => {
      hang = bridge.daemon.faults.hang('one')
      rules(`C_Encrypt hang=${hang.path} lane=hot count=1`)
    })
    hang?.release()
  })

  it('FM-F01: all sessions invalid in all lanes costs no request', () =>
    costsNothing(() => rules(...onceInEachLane('C_EncryptInit', 'closeall'))))

  it('FM-F05: a logout by another in all lanes costs no request', () =>
    costsNothing(() => rules(...onceInEachLane('C_DecryptInit', 'logout'))))
})
