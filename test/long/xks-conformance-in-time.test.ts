import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { describeProgram } from '../faces/xks-endpoint.ts'
import { PKCS11_TOOL } from '../support/pkcs11-tool.ts'
import {
  conformanceArguments,
  conformanceOf,
  failuresOf,
  makeConformanceKeys,
} from '../support/xks-conformance-run.ts'
import { XksDaemonUnderTest } from '../support/xks-daemon.ts'

/** A machine may lose a quarter of a second to somebody else once; not each time. */
const ATTEMPTS = 3

describeProgram(
  PKCS11_TOOL,
  'hsm-bridge xks-conformance with the patience of AWS KMS',
  function () {
    this.timeout(120_000)
    const value = randomBytes(32)
    let xks: XksDaemonUnderTest

    before(async () => {
      xks = await XksDaemonUnderTest.start({ otherStore: true })
      await makeConformanceKeys(xks, value)
      await xks.daemon.whole()
    })
    after(() => xks?.stop())

    it(`no row fails, and every answer of the run is there within 250 ms, in one of ${ATTEMPTS} runs`, async () => {
      const late: string[][] = []
      while (late.length < ATTEMPTS) {
        const { report } = await conformanceOf(await conformanceArguments(xks, value, []))
        const failures = failuresOf(report)
        expect(failures.filter((it) => !it.startsWith('K-250'))).to.deep.equal([])
        expect(report.results.find(({ id }) => id === 'K-250')?.outcome).to.be.oneOf([
          'pass',
          'fail',
        ])
        if (failures.length === 0) return
        console.log(`    ${failures.join('; ')}`)
        late.push(failures)
      }
      expect.fail(JSON.stringify(late))
    })
  },
)
