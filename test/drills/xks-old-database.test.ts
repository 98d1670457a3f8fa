import { copyFileSync, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { XksDaemonUnderTest } from '../support/xks-daemon.ts'
import { decryptCall, encryptCall, REQUEST_METADATA } from '../support/xks-request.ts'

const FILES = ['hsm-bridge.sqlite', 'hsm-bridge.sqlite-wal', 'hsm-bridge.sqlite-shm']

describe('XKS face on a database that is older than the token', function () {
  this.timeout(60_000)
  let xks: XksDaemonUnderTest

  before(async () => {
    xks = await XksDaemonUnderTest.start()
    await xks.createKey('one')
    await xks.daemon.terminate()
    swap('', '.old')
    await xks.daemon.serve()
    await xks.daemon.whole()
  })
  after(() => xks.stop())

  /** Every file of the database that exists, copied from one ending to another; what was there goes. */
  function swap(from: string, to: string): void {
    for (const name of FILES) {
      const [source, target] = [from, to].map((ending) => join(xks.daemon.state, name + ending))
      if (source === undefined || target === undefined) continue
      rmSync(target, { force: true })
      if (existsSync(source)) copyFileSync(source, target)
    }
  }

  it('FM-F30, XKS X-16: what only the token knows is never called absent or bad', async () => {
    const plaintext = Buffer.from('text')
    const older = await xks.call(encryptCall('one', plaintext))
    await xks.administer('xks key rotate', { name: 'store/one' })
    await xks.createKey('young')
    const younger = await xks.call(encryptCall('one', plaintext))
    expect(younger.body['ciphertextMetadata']).not.equal(older.body['ciphertextMetadata'])
    await xks.daemon.terminate()
    swap('.old', '')
    await xks.daemon.serve()
    await xks.daemon.whole()

    const requestMetadata = { ...REQUEST_METADATA, kmsOperation: 'CreateKey' }
    const outcomes = [
      await xks.call(decryptCall('one', younger.body)),
      await xks.call({ path: 'keys/young/metadata', body: { requestMetadata } }),
    ].map(({ status, body }) => [status, body.errorName])
    expect(outcomes).to.deep.equal([
      [500, 'InternalException'],
      [500, 'InternalException'],
    ])
    const opened = await xks.call(decryptCall('one', older.body))
    expect(opened.body).to.deep.equal({ plaintext: plaintext.toString('base64') })
  })
})
