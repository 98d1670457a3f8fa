import { cpSync, globSync, renameSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import type { Reconciliation } from '../../src/daemon/reconcile.ts'
import { DaemonUnderTest, eventually, PATIENT } from '../support/daemon-under-test.ts'
import { KeptCiphertexts } from '../support/kept-ciphertexts.ts'
import { KmsClient, outcomeOf } from '../support/kms-client.ts'

describe('drills with the token', function () {
  this.timeout(60_000)
  let daemon: DaemonUnderTest
  let kept: KeptCiphertexts
  let keyId: string

  beforeEach(async () => {
    daemon = await DaemonUnderTest.start({ profile: PATIENT })
    kept = new KeptCiphertexts()
    keyId = await kms().createKey()
    await kept.add(kms(), keyId)
  })
  afterEach(() => daemon.stop())

  const kms = () => new KmsClient(daemon.endpoint())
  const copyOf = (name: string) => join(daemon.token.dir, name)

  function putToken(from: string): void {
    rmSync(daemon.token.tokenDirectory, { recursive: true, force: true })
    cpSync(from, daemon.token.tokenDirectory, { recursive: true })
  }

  it('FM-F31: restored older than the database: its newer keys are unavailable, not gone, and work when it is back', async () => {
    await daemon.terminate()
    cpSync(daemon.token.tokenDirectory, copyOf('older'), { recursive: true })
    await daemon.serve()
    const newer = await kms().createKey()
    await kept.add(kms(), newer)
    await daemon.terminate()
    cpSync(daemon.token.tokenDirectory, copyOf('newer'), { recursive: true })

    putToken(copyOf('older'))
    await daemon.serve()
    expect(await kept.outcomes(kms())).deep.equal(['ok', 'KeyUnavailableException'])
    expect(await outcomeOf(kms().encrypt(newer, Buffer.from('x')))).equal('KeyUnavailableException')
    expect(await kms().describeKey(newer)).property('KeyState', 'Enabled')
    const { stdout } = await daemon.cli('reconcile', '--json').catch((error) => error)
    const { missingMaterials, destroyed } = JSON.parse(stdout) as Reconciliation
    expect(missingMaterials.map(({ keyArn }) => keyArn.split('/').at(-1))).deep.equal([newer])
    expect(destroyed).deep.equal([])
    await daemon.terminate()

    putToken(copyOf('newer'))
    await daemon.serve()
    await kept.assertAllOpen(kms())
  })

  it('FM-F04: lost before a start: the daemon comes up without it, blames no key, and serves when it is back, without a restart', async () => {
    await daemon.terminate()
    renameSync(daemon.token.tokenDirectory, copyOf('away'))
    await daemon.launch()
    const { pid } = daemon
    expect((await fetch(`${daemon.ops}/readyz`)).status).equal(503)
    expect(await kept.outcomes(kms())).deep.equal(['KeyUnavailableException'])
    renameSync(copyOf('away'), daemon.token.tokenDirectory)
    await eventually(
      async () => (await fetch(`${daemon.ops}/readyz`)).status === 200,
      () => daemon.log(),
      5000,
    )
    await kept.assertAllOpen(kms())
    await kept.add(kms(), await kms().createKey())
    expect(daemon.pid).equal(pid)
  })

  for (const leftBytes of [0, 1, 100])
    it(`FM-F23: a token.object cut to ${leftBytes} bytes is put back at the next start, and doctor says so`, async () => {
      await daemon.terminate()
      const [file = ''] = globSync('*/token.object', { cwd: daemon.token.tokenDirectory })
      truncateSync(join(daemon.token.tokenDirectory, file), leftBytes)
      await daemon.serve()
      await kept.assertAllOpen(kms())
      const { stdout } = await daemon.cli('doctor').catch((error) => error)
      expect(stdout).match(/put back from our copy: .*token\.object/)
    })
})
