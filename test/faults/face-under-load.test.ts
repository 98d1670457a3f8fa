import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { type FailedRequest, startCheckedLoad } from '../support/checked-load.ts'
import { DaemonUnderTest } from '../support/daemon-under-test.ts'
import type { Hang } from '../support/fault-module.ts'
import { KmsClient } from '../support/kms-client.ts'

const PER_SECOND = 200
const BEFORE_MS = 300
const AFTER_MS = 1500

describe('KMS face under 200 requests a second, half Encrypt, half Decrypt', function () {
  this.timeout(60_000)
  let daemon: DaemonUnderTest
  let keyId: string

  before(async () => {
    daemon = await DaemonUnderTest.start({ faults: { record: false } })
    keyId = await new KmsClient(daemon.endpoint()).createKey()
  })
  after(() => daemon.stop())
  beforeEach(async () => {
    daemon.faults.clear()
    await daemon.whole()
  })

  /** The clients repeat nothing, so every failure would be seen. */
  async function costsNothing(fault: () => Promise<void> | void): Promise<void> {
    const load = await startCheckedLoad({
      endpoint: daemon.endpoint(),
      keyId,
      perSecond: PER_SECOND,
    })
    await pause(BEFORE_MS)
    await fault()
    await pause(AFTER_MS)
    const { sent, wrong, failures } = await load.stop()
    expect(summary(failures)).deep.equal([])
    expect(wrong).equal(0)
    expect(sent).greaterThan((PER_SECOND * (BEFORE_MS + AFTER_MS)) / 2000)
  }

  it('FM-F13: SIGKILL of each lane in turn costs no request', () =>
    costsNothing(async () => {
      const victims = daemon.lanePids('hot')
      expect(victims).lengthOf(3)
      const { replaced } = await daemon.lanes()
      for (const victim of victims) {
        process.kill(victim, 'SIGKILL')
        await pause(50) // noticed
        await daemon.whole()
      }
      expect((await daemon.lanes()).replaced).equal(replaced + victims.length)
    }))

  it('FM-F13: a lane that dies in the middle of a call, the work done and not answered, costs no request', () =>
    costsNothing(() => daemon.faults.rules(['C_Encrypt kill9post lane=hot count=1'])))

  for (const call of ['C_EncryptInit', 'C_Encrypt', 'C_Decrypt', 'C_GenerateRandom'])
    it(`FM-F12: a ${call} that hangs costs no request, and the lane is replaced`, async () => {
      const { replaced } = await daemon.lanes()
      let hang: Hang | undefined
      await costsNothing(() => {
        hang = daemon.faults.hang(call)
        daemon.faults.rules([`${call} hang=${hang.path} lane=hot count=1`])
      })
      await daemon.whole()
      expect((await daemon.lanes()).replaced).equal(replaced + 1)
      hang?.release()
    })

  it('FM-F01: all sessions invalid in all lanes costs no request', () =>
    costsNothing(() => daemon.faults.rules(onceInEachLane('C_EncryptInit', 'closeall'))))

  it('FM-F05: a logout by another in all lanes costs no request', () =>
    costsNothing(() => daemon.faults.rules(onceInEachLane('C_DecryptInit', 'logout'))))

  for (const call of ['C_Encrypt', 'C_Decrypt'])
    it(`CKR_DEVICE_ERROR of one ${call} costs no request and no lane`, async () => {
      const { replaced } = await daemon.lanes()
      await costsNothing(() => daemon.faults.rules([`${call} rv=0x30 lane=hot count=1`]))
      expect((await daemon.lanes()).replaced).equal(replaced)
    })

  function onceInEachLane(call: string, action: string): string[] {
    return daemon.lanePids('hot').map((pid) => `${call} ${action} pid=${pid} count=1`)
  }
})

function summary(failures: readonly FailedRequest[]): string[] {
  return failures.map(({ operation, name, message }) => `${operation}: ${name}: ${message}`)
}
