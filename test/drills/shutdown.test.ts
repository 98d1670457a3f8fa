import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { startCheckedLoad } from '../support/checked-load.ts'
import { DaemonUnderTest } from '../support/daemon-under-test.ts'
import { KmsClient } from '../support/kms-client.ts'

describe('drills with the process', function () {
  this.timeout(60_000)

  it('FM-F48: SIGTERM under load answers all that it has taken; who comes later finds the port closed', async () => {
    const daemon = await DaemonUnderTest.start()
    try {
      const keyId = await new KmsClient(daemon.endpoint()).createKey()
      const load = await startCheckedLoad({ endpoint: daemon.endpoint(), keyId, perSecond: 200 })
      await pause(500)
      await daemon.terminate()
      const { ok, wrong, failures } = await load.stop()
      expect(ok).greaterThan(50)
      expect(wrong).equal(0)
      expect(new Set(failures.map(({ name }) => name))).deep.equal(new Set(['ECONNREFUSED']))
    } finally {
      await daemon.stop()
    }
  })
})
