import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { EncryptionBudget, BLOCK_ENCRYPTIONS } from '../../src/kms/encryption-budget.ts'
import { KmsError } from '../../src/kms/kms-error.ts'
import { decodeChanges, encodeChanges } from '../../src/storage/change-log.ts'
import { openPostgresStorage, type PostgresOptions } from '../../src/storage/open-storage.ts'
import { DatabaseAway } from '../../src/storage/postgres-connections.ts'
import { StorageError } from '../../src/storage/storage-error.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { describePostgres } from '../support/postgres.ts'
import { aKey, aMaterial } from './sample-keys.ts'

const WRITER = join(import.meta.dirname, 'token-writer-process.ts')
const SEEN_WITHIN_MS = 1_000
const LEASE_MS = 5_000

describePostgres('daemons that share PostgreSQL', (server) => {
  let url: string
  const opened: Storage[] = []
  const writers: Writer[] = []

  beforeEach(async () => {
    url = await server.createDatabase()
  })
  afterEach(async () => {
    for (const writer of writers.splice(0)) writer.end()
    await Promise.all(opened.splice(0).map((storage) => storage.close()))
  })

  async function open(options: Omit<PostgresOptions, 'url'> = {}): Promise<Storage> {
    const storage = await openPostgresStorage({ url, ...options })
    opened.push(storage)
    return storage
  }

  async function startWriter(): Promise<Writer> {
    const writer = new Writer(url)
    writers.push(writer)
    return writer
  }

  const runSql = (text: string) => server.query(url, text)

  describe('see each other', () => {
    it('ARCH-D12: a change of one is in the snapshot of the other within a second', async () => {
      const [one, other] = [await open(), await open()]
      for (let n = 0; n < 20; n++) {
        await one.change((draft) => draft.putKey(aKey(n)))
        const ms = await timeUntil(() => other.snapshot.findKey(aKey(n).arn) !== undefined)
        expect(ms).to.be.lessThan(SEEN_WITHIN_MS)
      }
    })

    it('ARCH-D12: also when no notification comes', async () => {
      const [one, other] = [await open(), await open()]
      const listening =
        "select pg_terminate_backend(pid) from pg_stat_activity where query ~ '^listen'"
      for (let n = 0; n < 3; n++) {
        await runSql(listening)
        await one.change((draft) => draft.putKey(aKey(n)))
        const ms = await timeUntil(() => other.snapshot.findKey(aKey(n).arn) !== undefined)
        expect(ms).to.be.lessThan(SEEN_WITHIN_MS)
      }
    })

    it('what is taken over is what is read from the rows', async () => {
      const [one, other] = [await open(), await open()]
      await one.change((draft) => {
        draft.putKey({ ...aKey(1), description: "'\\u0000\\\\u0000' \u{1f511}\n" })
        draft.putMaterial(aMaterial(1))
        draft.putKey(aKey(2))
        draft.putMaterial(aMaterial(2))
        draft.putAnchors('serial', { canary: [1] })
        draft.putLoginLatch('serial', { reason: 'x' })
        draft.setHeartbeat(77)
      })
      const { arn, accountId, region, keyId } = aKey(2)
      await one.change((draft) =>
        draft.buryKey({ arn, accountId, region, keyId, destroyedAt: 5, materialIds: ['m2'] }),
      )
      await other.refresh()
      const read = await open()
      for (const storage of [one, other]) expect(picture(storage)).to.deep.equal(picture(read))
      expect(other.snapshot.materialsOf(aKey(1).arn)[0]?.material.proof).to.be.instanceOf(Buffer)
      expect(other.snapshot.findLoginLatch('serial')).to.deep.equal({ reason: 'x' })
      await other.change((draft) => draft.putLoginLatch('serial', undefined))
      await one.refresh()
      expect(one.snapshot.findLoginLatch('serial')).to.equal(undefined)
    })

    it('changes of both at once are counted in one row, without a gap', async () => {
      const both = [await open(), await open()]
      const numbers = await Promise.all(
        both.flatMap((storage) =>
          Array.from({ length: 400 }, async () => {
            await pause(Math.random() * 50)
            return storage.change((draft) => draft.nextLineage())
          }),
        ),
      )
      expect(numbers.toSorted((a, b) => a - b)).to.deep.equal(
        Array.from({ length: 800 }, (_, i) => i + 1),
      )
      await Promise.all(both.map((storage) => storage.refresh()))
      expect(both.map(({ snapshot }) => snapshot.lineage)).to.deep.equal([800, 800])
    })

    it('FM-F27: a change runs on what the other has just committed', async () => {
      const [one, other] = [await open(), await open()]
      const key = await one.change((draft) => draft.putKey(aKey(1)))
      const stale = other.change((draft) => draft.putKey({ ...key, rowVersion: 0 }))
      expect(await stale.catch((error: Error) => error)).to.be.instanceOf(TypeError)
      const seen = await other.change((draft) => draft.findKey(key.arn)?.rowVersion)
      expect(seen).to.equal(1)
    })

    it('one that is far behind reads everything anew', async () => {
      const other = await open()
      const one = await open()
      await runSql("select pg_terminate_backend(pid) from pg_stat_activity where query ~ '^listen'")
      const changes = [
        one.change((draft) => draft.putKey(aKey(1))),
        runSql('delete from change_log'),
      ]
      await Promise.all(changes)
      await runSql('delete from change_log')
      await one.change((draft) => draft.putKey(aKey(2)))
      await other.refresh()
      expect([...other.snapshot.allKeys()].map((key) => key.keyId)).to.deep.equal(['k1', 'k2'])
      expect(other.snapshot.version).to.equal(one.snapshot.version)
    })

    it('keeps the log short', async () => {
      const one = await open()
      await runSql('update instance set version = 999999')
      await one.close()
      opened.splice(0)
      const two = await open()
      await runSql("insert into change_log values (5, '[]'), (999000, '[]')")
      for (let i = 0; i < 700; i++) await two.change((draft) => draft.nextLineage())
      const rows = await runSql('select min(version)::int as oldest from change_log')
      expect(rows).to.deep.equal([{ oldest: 999000 }])
    })

    it('an older copy of the database under a running daemon is refused', async () => {
      const one = await open()
      await one.change((draft) => draft.nextLineage())
      await one.change((draft) => draft.nextLineage())
      await runSql('update instance set version = 1')
      const error = await refusalOf(one.change((draft) => draft.nextLineage()))
      expect(error.code).to.match(/KMSInternalException|DependencyTimeoutException/)
      await timeUntil(() => !one.isConnected)
    })
  })

  describe('begin', () => {
    it('at the same time on an empty database, and are one instance', async () => {
      const all = await Promise.all([open(), open(), open()])
      const ids = new Set(all.map(({ snapshot }) => snapshot.instanceId))
      expect(ids.size).to.equal(1)
      expect(all.map(({ snapshot }) => snapshot.version)).to.deep.equal([0, 0, 0])
    })

    it('FM-F49: not on a database of a newer version, in words', async () => {
      await open()
      await runSql("insert into kysely_migration values ('9999-future', 'x')")
      const error = await openPostgresStorage({ url }).catch((thrown: Error) => thrown)
      expect(error).to.be.instanceOf(StorageError)
      expect((error as Error).message).to.contain('newer hsm-bridge (9999-future)')
    })

    it('with a reason of one line when nobody answers, and without the password', async () => {
      const away = 'postgres://me:secret-canary@127.0.0.1:1/none'
      const error = await openPostgresStorage({ url: away }).catch((thrown: Error) => thrown)
      expect(error).to.be.instanceOf(DatabaseAway)
      expect((error as Error).message)
        .to.match(/ECONNREFUSED/)
        .and.not.match(/secret-canary|\n/)
    })
  })

  describe('FM-F47: when the database', () => {
    afterEach(() => server.start())

    it('is gone: reads go on, changes fail at once, and all is well when it is back', async function () {
      this.timeout(30_000)
      const states: boolean[] = []
      const one = await open({ events: { connected: (isConnected) => states.push(isConnected) } })
      await one.change((draft) => draft.putKey(aKey(1)))
      await server.stop('SIGQUIT')
      const first = await refusalOf(one.change((draft) => draft.nextLineage()))
      expect(first.code).to.equal('DependencyTimeoutException')
      await timeUntil(() => !one.isConnected)
      const began = performance.now()
      for (let i = 0; i < 100; i++) await refusalOf(one.change((draft) => draft.nextLineage()))
      expect(performance.now() - began).to.be.lessThan(100)
      expect(one.snapshot.findKey(aKey(1).arn)?.keyId).to.equal('k1')
      await server.start()
      expect(await timeUntil(() => one.isConnected)).to.be.lessThan(3_000)
      expect(await one.change((draft) => draft.nextLineage())).to.equal(1)
      expect(states).to.deep.equal([false, true])
    })

    it('says nothing: changes are given up in time', async function () {
      this.timeout(30_000)
      const one = await open()
      await one.change((draft) => draft.nextLineage())
      server.freeze('SIGSTOP')
      const began = performance.now()
      const given = await refusalOf(one.change((draft) => draft.nextLineage()))
      expect(given.code).to.equal('DependencyTimeoutException')
      expect(performance.now() - began).to.be.lessThan(4_000)
      expect(one.isConnected).to.equal(false)
      server.freeze('SIGCONT')
      await timeUntil(() => one.isConnected)
      expect(await one.change((draft) => draft.nextLineage())).to.be.greaterThan(1)
    })

    it('has only cut the connections: nobody notices', async () => {
      const one = await open()
      for (let i = 1; i <= 5; i++) {
        await runSql(
          'select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()',
        )
        expect(await one.change((draft) => draft.nextLineage())).to.equal(i)
      }
    })
  })

  describe('FM-F32: write to the token in turn', () => {
    it('one at a time, each with what the others did before', async () => {
      const all = [await open(), await open(), await open()]
      let inside = 0
      let known = 0
      await Promise.all(
        Array.from({ length: 30 }, (_, i) =>
          (all[i % all.length] as Storage).withTokenWriteLock(async (lock) => {
            inside += 1
            expect(inside).to.equal(1)
            expect((all[i % all.length] as Storage).snapshot.lineage).to.equal(known)
            known = await (all[i % all.length] as Storage).change((draft) => draft.nextLineage(), {
              lock,
            })
            lock.assertHeld()
            inside -= 1
          }),
        ),
      )
      expect(known).to.equal(30)
    })

    it('the lock of a killed holder is free at once', async () => {
      const writer = await startWriter()
      expect(await writer.ask('hold')).to.equal('held')
      const one = await open()
      const waiting = one.withTokenWriteLock(async (lock) => {
        lock.assertHeld()
        return performance.now()
      })
      await pause(100)
      const killed = performance.now()
      writer.end()
      expect((await waiting) - killed).to.be.lessThan(1_000)
    })

    it('a stopped holder loses it, and commits nothing when it goes on', async function () {
      this.timeout(40_000)
      const writer = await startWriter()
      expect(await writer.ask('hold')).to.equal('held')
      expect(await writer.ask('write')).to.equal('wrote 1')
      writer.signal('SIGSTOP')
      const one = await open()
      const stopped = performance.now()
      await one.withTokenWriteLock(async (lock) => {
        expect(performance.now() - stopped).to.be.within(LEASE_MS - 1_500, LEASE_MS + 1_500)
        writer.signal('SIGCONT')
        expect(await writer.ask('still-held')).to.equal('TokenWriteLockLost')
        expect(await writer.ask('write')).to.equal('TokenWriteLockLost')
        await one.change((draft) => draft.nextLineage(), { lock })
      })
      expect(one.snapshot.lineage).to.equal(2)
    })

    it('a holder whose connection the database has cut commits nothing', async () => {
      const one = await open()
      const attempt = one.withTokenWriteLock(async (lock) => {
        await runSql("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'")
        const other = await open()
        await other.withTokenWriteLock(async () => undefined)
        await one.change((draft) => draft.nextLineage(), { lock })
      })
      expect((await refusalOf(attempt)).name).to.equal('TokenWriteLockLost')
      expect(one.snapshot.lineage).to.equal(0)
    })

    it('a daemon that is stopped in a transaction holds the others up for seconds only', async function () {
      this.timeout(30_000)
      const [writer, one] = [await startWriter(), await open()]
      await one.change((draft) => draft.nextLineage())
      void writer.ask('stop-in-change')
      await timeUntil(() => writer.isStopped)
      const began = performance.now()
      expect(await one.change((draft) => draft.nextLineage())).to.equal(2)
      expect(performance.now() - began).to.be.lessThan(4_000)
      writer.signal('SIGCONT')
      await pause(200)
      expect(await one.change((draft) => draft.nextLineage())).to.equal(3)
    })
  })

  it('ARCH-D7: each daemon encrypts out of blocks of its own', async () => {
    const both = [await open(), await open()]
    const [one, other] = both as [Storage, Storage]
    await one.change((draft) => {
      draft.putKey(aKey(1))
      draft.putMaterial(aMaterial(1))
    })
    await other.refresh()
    const silent = { near: () => undefined, reached: () => undefined }
    const budgets = both.map((storage) => new EncryptionBudget(storage, silent))
    const spent = BLOCK_ENCRYPTIONS * 2
    await Promise.all(
      budgets.map(async (budget) => {
        for (let i = 0; i < spent; i++) await budget.spend(aMaterial(1))
      }),
    )
    await Promise.all(both.map((storage) => storage.refresh()))
    const reserved = () => one.snapshot.findMaterial('r1', 'm1')?.encryptionsReserved
    expect(reserved()).to.be.at.least(2 * spent)
    for (const budget of budgets) await budget.close()
    await one.refresh()
    expect(reserved()).to.equal(2 * spent)
  })

  it('ARCH-D14: each daemon delivers its own audit records, and later those of one that is gone', async () => {
    const [one, other] = [await open({ daemon: 'a' }), await open({ daemon: 'b' })]
    const old = Date.now() - 2 * 60 * 60 * 1000
    await one.change((draft) => {
      draft.addAuditLine({ eventId: 'fresh', at: Date.now(), text: '{}' })
      draft.addAuditLine({ eventId: 'abandoned', at: old, text: '{}' })
    })
    const idsOf = async ({ outbox }: Storage) => (await outbox.pending()).map((it) => it.eventId)
    expect(await idsOf(one)).to.deep.equal(['abandoned', 'fresh'])
    expect(await idsOf(other)).to.deep.equal(['abandoned'])
    await other.outbox.remove(['abandoned'])
    expect(await idsOf(one)).to.deep.equal(['fresh'])
  })

  it('refuses text that PostgreSQL cannot hold, for that change alone', async () => {
    const one = await open()
    const outcomes = await Promise.allSettled([
      one.change((draft) => draft.putKey(aKey(1))),
      one.change((draft) => draft.putKey({ ...aKey(2), description: 'a\0b' })),
      one.change((draft) => draft.putKey({ ...aKey(3), description: '\\u0000' })),
    ])
    expect(outcomes.map(({ status }) => status)).to.deep.equal([
      'fulfilled',
      'rejected',
      'fulfilled',
    ])
    expect(await one.checkIntegrity()).to.deep.equal([])
  })

  it('tells where it is, and that pg_dump makes its backups', async () => {
    const one = await open()
    expect(await one.describe()).to.match(/^PostgreSQL \d+.* at .*test_\d+, .* 0 change\(s\)/)
    const error = await one.backup('/tmp/copy').catch((thrown: Error) => thrown)
    expect(error).to.be.instanceOf(StorageError)
    expect((error as Error).message).to.contain('pg_dump --format=custom --file=/tmp/copy')
  })
})

describe('change log', () => {
  it('brings bytes back as bytes, and leaves audit records to their daemon', () => {
    const material = aMaterial(1)
    const text = encodeChanges([
      { kind: 'material', material, isNew: true },
      { kind: 'audit', line: { eventId: 'e', at: 1, text: '{}' } },
    ])
    const [change, ...rest] = decodeChanges(text)
    expect(rest).to.deep.equal([])
    const { rotation: _, ...told } = material
    expect(change).to.deep.equal({ kind: 'material', material: told, isNew: true })
  })
})

/** Another daemon, as a process that can be stopped and killed. */
class Writer {
  readonly #process: ChildProcess
  readonly #answers: Interface

  constructor(url: string) {
    this.#process = spawn(process.execPath, [WRITER, url], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#answers = createInterface(this.#process.stdout as NodeJS.ReadableStream)
  }

  async ask(command: string): Promise<string> {
    this.#process.stdin?.write(`${command}\n`)
    const [answer] = (await once(this.#answers, 'line')) as [string]
    return answer
  }

  get isStopped(): boolean {
    return stateOf(this.#process.pid) === 'T'
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name)
  }

  end(): void {
    this.#process.kill('SIGKILL')
  }
}

function stateOf(pid: number | undefined): string | undefined {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2)[0]
}

/** Everything that a snapshot shows, in an order of its own. */
function picture({ snapshot }: Storage): string {
  const { version, lineage, heartbeat, instanceId } = snapshot
  const keys = [...snapshot.allKeys()].toSorted((a, b) => (a.arn < b.arn ? -1 : 1))
  const materials = [...snapshot.allMaterials()].map((made) => ({
    ...made,
    rotation: made.rotation,
  }))
  const gone = snapshot.findTombstone(aKey(2).arn)
  const anchors = snapshot.findAnchors('serial')
  return JSON.stringify({ version, lineage, heartbeat, instanceId, keys, materials, gone, anchors })
}

async function refusalOf(work: Promise<unknown>): Promise<KmsError> {
  const error = await work.then(
    () => expect.fail('it succeeded'),
    (thrown: unknown) => thrown,
  )
  expect(error, String(error)).to.be.instanceOf(KmsError)
  return error as KmsError
}

/** Milliseconds until it holds; fails after ten seconds. */
async function timeUntil(holds: () => boolean): Promise<number> {
  const began = performance.now()
  while (!holds()) {
    if (performance.now() - began > 10_000) throw new Error('it did not become true in time')
    await pause(1)
  }
  return performance.now() - began
}
