import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { PKCS11_TOOL } from '../support/pkcs11-tool.ts'
import {
  clientArguments,
  conformanceArguments,
  conformanceOf,
  failuresOf,
  makeConformanceKeys,
  skipsOf,
} from '../support/xks-conformance-run.ts'
import { XksDaemonUnderTest, type XksDaemonOptions } from '../support/xks-daemon.ts'
import { describeProgram } from './xks-endpoint.ts'

const ROWS = 150

/** As somebody else runs it, against a proxy about which it knows what its options say. */
describeProgram(PKCS11_TOOL, 'hsm-bridge xks-conformance at the XKS face of a daemon', function () {
  this.timeout(60_000)
  const value = randomBytes(32)
  let xks: XksDaemonUnderTest | undefined

  afterEach(() => xks?.stop())

  it('no row fails, not even of our own reading, with an EC certificate, nor with an RSA one', async () => {
    const served = await start()
    for (const keyType of ['EC', 'RSA'] as const) {
      await served.issueCertificate(keyType)
      await served.administer('reload', {})
      const { report, exitCode } = await conformanceOf(await conformanceArguments(served, value))
      expect(failuresOf(report), keyType).to.deep.equal([])
      expect(exitCode).to.equal(0)
      expect(skipsOf(report)).to.deep.equal([
        'T-10 --client-cert is not given',
        'T-10 --stranger-cert is not given',
      ])
      expect(report.passed).to.be.greaterThan(ROWS)
    }
  })

  it('XKS T-08, XKS T-13: none fails or is skipped with mutual TLS, and after six seconds of silence', async () => {
    const served = await start({ clientCertificates: { subjectNames: ['client'] } })
    const args = [
      ...(await conformanceArguments(served, value)),
      ...(await clientArguments(served)),
    ]
    const { report, exitCode } = await conformanceOf([...args, '--idle-seconds', '6'])
    expect(failuresOf(report)).to.deep.equal([])
    expect(exitCode).to.equal(0)
    expect(skipsOf(report)).to.deep.equal([])
  })

  async function start(options: XksDaemonOptions = {}): Promise<XksDaemonUnderTest> {
    const started = await XksDaemonUnderTest.start({ ...options, otherStore: true })
    xks = started
    await makeConformanceKeys(started, value)
    return started
  }
})
