import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import type { Reconciliation } from '../../src/daemon/reconcile.ts'
import { DaemonUnderTest, eventually } from '../support/daemon-under-test.ts'
import { KmsClient, outcomeOf } from '../support/kms-client.ts'
import { callKms } from '../support/kms-request.ts'
import { describePostgres } from '../support/postgres.ts'
import { freePort } from '../support/free-port.ts'

const HOLDS_WITHIN_MS = 1_000
const LEASE_MS = 5_000
const PLAINTEXT = Buffer.from('secret text')

describePostgres('two daemons on one PostgreSQL and one token', (server) => {
  let one: DaemonUnderTest
  let other: DaemonUnderTest
  let url: string

  before(async () => {
    url = await server.createDatabase()
    one = await DaemonUnderTest.start({ storageUrl: url })
    other = await DaemonUnderTest.start({ storageUrl: url, beside: one })
  })
  after(async () => {
    await other.stop()
    await one.stop()
  })

  const clients = () => [new KmsClient(one.endpoint()), new KmsClient(other.endpoint())] as const
  const ask = (daemon: DaemonUnderTest, operation: string, body: Record<string, unknown>) =>
    callKms<Record<string, unknown>>(daemon.endpoint(), { operation, body })
  const reconcile = async () =>
    JSON.parse(await one.cli('reconcile', '--json').catch(stdoutOf)) as Reconciliation

  it('ARCH-D12: what one makes, the other uses, within a second', async () => {
    const [here, there] = clients()
    for (let i = 0; i < 5; i++) {
      const keyId = await here.createKey()
      const made = performance.now()
      const blob = await succeeds(() => there.encrypt(keyId, PLAINTEXT))
      expect(performance.now() - made).to.be.lessThan(HOLDS_WITHIN_MS)
      expect(await here.decrypt(blob)).to.deep.equal(PLAINTEXT)
    }
  })

  it('ARCH-D12: a key that one disables is disabled in both within a second', async () => {
    const [here, there] = clients()
    const keyId = await here.createKey()
    const blob = await succeeds(() => there.encrypt(keyId, PLAINTEXT))
    for (const [operation, outcome] of [
      ['DisableKey', 'DisabledException'],
      ['EnableKey', 'ok'],
      ['ScheduleKeyDeletion', 'KMSInvalidStateException'],
    ] as const) {
      await ask(one, operation, { KeyId: keyId })
      const told = performance.now()
      while ((await outcomeOf(there.decrypt(blob))) !== outcome)
        expect(performance.now() - told, operation).to.be.lessThan(HOLDS_WITHIN_MS)
      expect(await outcomeOf(here.decrypt(blob))).to.equal(outcome)
    }
  })

  it('FM-F32: keys and rotations that both make at once are each made once', async function () {
    this.timeout(60_000)
    const [here, there] = clients()
    const keyId = await here.createKey()
    await succeeds(() => there.describeKey(keyId))
    const rotations = await Promise.all(
      Array.from({ length: 6 }, (_, i) => outcomeOf((i % 2 ? here : there).rotate(keyId))),
    )
    expect(rotations).to.deep.equal(Array(6).fill('ok'))
    const made = await Promise.all(
      Array.from({ length: 10 }, (_, i) => (i % 2 ? here : there).createKey()),
    )
    expect(new Set(made).size).to.equal(10)
    const listed = await ask(one, 'ListKeyRotations', {
      KeyId: keyId,
      IncludeKeyMaterial: 'ALL_KEY_MATERIAL',
    })
    expect(listed['Rotations']).to.have.lengthOf(7)
    expect(await differences(reconcile)).to.deep.equal([])
  })

  it('FM-F32: a daemon stopped while it writes to the token commits nothing later, and leaves nothing', async function () {
    this.timeout(90_000)
    const [here, there] = clients()
    for (const afterMs of [5, 20, 40]) {
      const begun = outcomeOf(here.createKey())
      await pause(afterMs)
      one.freeze('SIGSTOP')
      const stopped = performance.now()
      const keyId = await succeeds(() => there.createKey())
      expect(performance.now() - stopped).to.be.lessThan(LEASE_MS + 5_000)
      await there.rotate(keyId)
      one.freeze('SIGCONT')
      expect(await begun).to.match(/^(ok|DependencyTimeoutException|KeyUnavailableException)$/)
      expect(await outcomeOf(here.createKey())).to.equal('ok')
    }
    expect(await differences(reconcile)).to.deep.equal([])
  })

  it('FM-F47: without the database keys are used, changes are refused, and it comes back', async function () {
    this.timeout(60_000)
    const [here, there] = clients()
    const keyId = await here.createKey()
    const blob = await succeeds(() => there.encrypt(keyId, PLAINTEXT))
    await here.encrypt(keyId, PLAINTEXT)
    await server.stop('SIGQUIT')
    try {
      for (const client of [here, there]) {
        for (let i = 0; i < 50; i++) await client.encrypt(keyId, PLAINTEXT)
        expect(await client.decrypt(blob)).to.deep.equal(PLAINTEXT)
        expect(await outcomeOf(client.createKey())).to.equal('DependencyTimeoutException')
        expect(await outcomeOf(client.scheduleDeletion(keyId))).to.equal(
          'DependencyTimeoutException',
        )
      }
      expect((await fetch(`${one.ops}/readyz`)).status).to.equal(200)
      expect(await (await fetch(`${one.ops}/metrics`)).text()).to.match(
        /^hsm_bridge_database_up 0$/m,
      )
    } finally {
      await server.start()
    }
    await eventually(
      async () => (await outcomeOf(here.createKey())) === 'ok',
      () => one.log(),
      5_000,
    )
    expect(await outcomeOf(there.createKey())).to.equal('ok')
    expect(await differences(reconcile)).to.deep.equal([])
  })

  it('doctor tells of the server, and backup of pg_dump', async () => {
    const told = await one.cli('doctor')
    expect(told).to.match(/✓ database server: PostgreSQL \d+/)
    expect(told).to.match(/✓ database: sound.* 0 change\(s\) not seen yet/)
    const refused = await one.cli('backup', '--to', '/tmp/none').catch(stderrOf)
    expect(refused).to.contain('pg_dump --format=custom --file=/tmp/none')
    const restored = await one.cli('restore', '--from', '/tmp/none').catch(stderrOf)
    expect(restored).to.contain('pg_restore')
  })

  it('ARCH-D12: a daemon with another host key is refused, with the reason', async () => {
    const third = await DaemonUnderTest.prepare({ storageUrl: url, beside: one })
    writeFileSync(join(third.state, 'host.key'), `${'ab'.repeat(32)}\n`, { mode: 0o600 })
    const refused = await third.cli('doctor').catch(stdoutOf)
    expect(refused).to.match(/daemons on one database share it/)
    await third.stop()
  })

  it('a killed daemon is not missed, and is whole again after its start', async function () {
    this.timeout(60_000)
    const [, there] = clients()
    await one.killFront()
    const keyId = await there.createKey()
    const blob = await there.encrypt(keyId, PLAINTEXT)
    await one.serve()
    expect(await new KmsClient(one.endpoint()).decrypt(blob)).to.deep.equal(PLAINTEXT)
  })
})

describePostgres('daemons that begin', (server) => {
  it('FM-F47: say that they are alive and not ready while the database is away, then serve', async function () {
    this.timeout(60_000)
    const url = await server.createDatabase()
    const opsPort = await freePort()
    const config = { ops: { listen: `127.0.0.1:${opsPort}` } }
    const daemon = await DaemonUnderTest.prepare({ storageUrl: url, config })
    await server.stop('SIGQUIT')
    const launched = daemon.launch()
    const ask = (path: string) => fetch(`http://127.0.0.1:${opsPort}${path}`)
    await eventually(
      async () => (await ask('/livez').catch(() => undefined))?.ok === true,
      () => daemon.log(),
    )
    const readiness = await ask('/readyz')
    expect(readiness.status).to.equal(503)
    expect(await readiness.text()).to.match(/the database does not answer/)
    const lines = daemon
      .log()
      .split('\n')
      .filter((line) => line.includes('waiting for the database'))
    expect(lines.length).to.be.within(1, 3)
    await server.start()
    await launched
    await daemon.ready()
    await daemon.stop()
  })

  it('FM-F47: end on SIGTERM while they wait', async function () {
    this.timeout(60_000)
    const daemon = await DaemonUnderTest.prepare({ storageUrl: await server.createDatabase() })
    await server.stop('SIGQUIT')
    const launched = daemon.launch().catch((error: Error) => error.message)
    await eventually(
      () => daemon.log().includes('waiting for the database'),
      () => daemon.log(),
    )
    await daemon.terminate()
    expect(await launched).to.match(/^serve ended \(0\)/)
    await server.start()
    await daemon.stop()
  })

  it('FM-F29, FM-F30: put an older dump back, change nothing on it, and rebuild what it lacks', async function () {
    this.timeout(60_000)
    const url = await server.createDatabase()
    const daemon = await DaemonUnderTest.start({ storageUrl: url })
    const kms = () => new KmsClient(daemon.endpoint())
    const older = await kms().createKey()
    const dump = join(daemon.directory, 'dump')
    server.run('pg_dump', '--format=custom', `--file=${dump}`, url)
    const younger = await kms().createKey()
    const blob = await kms().encrypt(younger, PLAINTEXT)
    await daemon.terminate()
    const restore = ['--clean', '--if-exists', '--single-transaction', `--dbname=${url}`, dump]
    server.run('pg_restore', ...restore)
    expect(await daemon.cli('restore', '--after-pg-restore')).to.match(/with 1 key/)
    await daemon.serve()
    await eventually(
      async () => (await outcomeOf(kms().scheduleDeletion(older))) === 'KMSInvalidStateException',
      () => daemon.log(),
    )
    expect(await outcomeOf(kms().decrypt(blob))).to.equal('AccessDeniedException')
    await daemon.terminate()
    expect(await daemon.cli('rebuild')).to.match(/keys added +1/)
    await daemon.serve()
    expect(await kms().decrypt(blob)).to.deep.equal(PLAINTEXT)
    await daemon.stop()
  })

  it('ARCH-D4: try a wrong PIN once, all together', async function () {
    this.timeout(60_000)
    const url = await server.createDatabase()
    const first = await DaemonUnderTest.prepare({ storageUrl: url })
    const second = await DaemonUnderTest.prepare({ storageUrl: url, beside: first })
    const pinFile = join(first.token.dir, 'pin')
    const pin = readFileSync(pinFile, 'utf8')
    writeFileSync(pinFile, 'not-the-pin', { mode: 0o600 })
    await Promise.all([first.launch(), second.launch()])
    await eventually(
      () => [first, second].every((daemon) => /token unlatch|PIN_INCORRECT/.test(daemon.log())),
      () => first.log() + second.log(),
    )
    const tries = [first, second].map(
      (daemon) => daemon.log().match(/"message":"lane failed"/g) ?? [],
    )
    expect(tries.flat().length).to.equal(1)
    writeFileSync(pinFile, pin, { mode: 0o600 })
    await first.terminate()
    await second.terminate()
    await first.serve() // another PIN is tried
    await second.serve()
    await second.stop()
    await first.stop()
  })
})

/** What `reconcile` finds that should not be. */
async function differences(reconcile: () => Promise<Reconciliation>): Promise<unknown[]> {
  const { openIntents, unknownObjects, unknownRecords, unauthenticRecords, missingMaterials } =
    await reconcile()
  return [openIntents, unknownObjects, unknownRecords, unauthenticRecords, missingMaterials].flat()
}

/** A second daemon may be a moment behind. */
async function succeeds<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt > 200) throw error
      await pause(5)
    }
  }
}

function stdoutOf(error: { stdout: string }): string {
  return error.stdout
}

function stderrOf(error: { stderr: string }): string {
  return error.stderr
}
