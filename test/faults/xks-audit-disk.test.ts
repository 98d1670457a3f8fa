import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { compileC } from '../support/compile-c.ts'
import { eventually } from '../support/daemon-under-test.ts'
import { XksDaemonUnderTest } from '../support/xks-daemon.ts'
import { encryptCall, HEALTH_CALL } from '../support/xks-request.ts'

const CLI = join(import.meta.dirname, '../../src/daemon/cli.ts')
const KEY = 'key'
/** The face takes 200 ms for it; AWS KMS waits 250 (XKS 1.12), and this machine may be busy. */
const ANSWERED_WITHIN_MS = 500

describe('the XKS face while the disk of the audit spool hangs', function () {
  this.timeout(60_000)
  const directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-disk-'))
  const hanging = join(directory, 'hanging')
  let xks: XksDaemonUnderTest

  before(async () => {
    const source = join(import.meta.dirname, 'hanging-disk.c')
    const shim = compileC({ source, cache: 'faults', output: 'libhangingdisk.so', shared: true })
    const launcher = join(directory, 'launcher') // ours takes LD_PRELOAD away
    const environment = `LD_PRELOAD=${shim} HANGING_DISK_IN=/state/audit/ HANGING_DISK_WHILE=${hanging}`
    const program = `#!/bin/sh\n${environment} exec ${process.execPath} ${CLI} "$@"\n`
    writeFileSync(launcher, program, { mode: 0o700 })
    xks = await XksDaemonUnderTest.start({ config: { audit: { durability: 'fsync' } }, launcher })
    await xks.createKey(KEY)
    await eventually(
      async () => (await xks.call(encryptCall(KEY, Buffer.from('x')))).status === 200,
      () => xks.daemon.log(),
    )
  })
  after(async () => {
    rmSync(hanging, { force: true })
    await xks?.stop()
    rmSync(directory, { recursive: true, force: true })
  })

  it('XKS X-11, ARCH-D14: is answered in time, without the ciphertext, and goes on when the disk does', async () => {
    const before = xks.records().length
    writeFileSync(hanging, '')
    const calls = [
      encryptCall(KEY, Buffer.from('text')),
      HEALTH_CALL,
      encryptCall('none', Buffer.from('text')),
    ]
    for (const call of calls) {
      const began = performance.now()
      const { status, body } = await xks.call(call)
      expect(performance.now() - began).lessThan(ANSWERED_WITHIN_MS)
      expect([status, body.errorName]).deep.equal([503, 'DependencyTimeoutException'])
      expect(Object.keys(body)).to.have.members(['errorName', 'errorMessage'])
    }
    expect(existsSync(hanging)).equal(true)
    rmSync(hanging)
    await eventually(
      async () => (await xks.call(HEALTH_CALL)).status === 200,
      () => xks.daemon.log(),
      2000,
    )
    const told = xks.records().slice(before)
    expect(told.slice(0, 3).map(({ eventName, errorCode }) => [eventName, errorCode])).deep.equal([
      ['Encrypt', undefined],
      ['GetHealthStatus', undefined],
      ['Encrypt', 'KeyNotFoundException'],
    ])
  })
})
