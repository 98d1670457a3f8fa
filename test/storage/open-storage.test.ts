import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { expect } from 'chai'
import { KmsError } from '../../src/kms/kms-error.ts'
import { inspectDatabase } from '../../src/storage/inspect-database.ts'
import { openPostgresStorage, openStorage } from '../../src/storage/open-storage.ts'
import { StorageError } from '../../src/storage/storage-error.ts'
import type { PrincipalRecord, Storage } from '../../src/storage/storage.ts'
import { describePostgres } from '../support/postgres.ts'
import { aKey, aMaterial } from './sample-keys.ts'

const PRINCIPAL: PrincipalRecord = {
  accessKeyId: 'AKIAX',
  accountId: '111122223333',
  arn: 'arn:aws:iam::111122223333:user/x',
  userName: 'x',
  userId: 'AIDAX',
  sealedSecret: 'sealed',
  identityPolicies: ['{}'],
}

/** One database, and how to open it. */
interface Engine {
  open(): Promise<Storage>
  openAnother(): Promise<Storage>
  remove(): void
}

describe('storage on SQLite', () => {
  storageSuite(async () => {
    const directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-storage-'))
    return {
      open: () => openStorage({ path: join(directory, 'test.db') }),
      openAnother: () => openStorage({ path: join(directory, 'another.db') }),
      remove: () => rmSync(directory, { recursive: true }),
    }
  })
})

describePostgres('storage on PostgreSQL', (server) => {
  storageSuite(async () => {
    const [url, another] = [await server.createDatabase(), await server.createDatabase()]
    return {
      open: () => openPostgresStorage({ url }),
      openAnother: () => openPostgresStorage({ url: another }),
      remove: () => undefined,
    }
  })
})

function storageSuite(newEngine: () => Promise<Engine>): void {
  let engine: Engine
  let storage: Storage
  beforeEach(async () => {
    engine = await newEngine()
    storage = await engine.open()
  })
  afterEach(async () => {
    await storage.close()
    engine.remove()
  })

  const reopen = async () => {
    await storage.close()
    storage = await engine.open()
  }

  it('ARCH-D12: everything is there again after a restart, bytes and absences too', async () => {
    const [key, material] = [aKey(1), aMaterial(1)]
    await storage.change((draft) => {
      draft.putKey(key)
      draft.putMaterial(material)
      draft.putPrincipal(PRINCIPAL)
      draft.putAnchors('serial', { canary: [1] })
      draft.setHeartbeat(1234)
      draft.nextLineage()
    })
    const { instanceId, markerSecret } = storage.snapshot
    await reopen()
    const { snapshot } = storage
    expect(snapshot.findKey(key.arn)).to.deep.equal({ ...key, rowVersion: 1 })
    expect(snapshot.materialsOf(key.arn)).to.deep.equal([material])
    expect(snapshot.findMaterial(key.region, material.material.materialId)).to.deep.equal(material)
    expect([...snapshot.allPrincipals()]).to.deep.equal([PRINCIPAL])
    expect(snapshot.findAnchors('serial')).to.deep.equal({ canary: [1] })
    expect(snapshot).to.include({ instanceId, heartbeat: 1234, lineage: 1, version: 1 })
    expect(snapshot.markerSecret).to.deep.equal(markerSecret).and.to.have.lengthOf(32)
  })

  it('a change sees what it wrote and what waits before it, and others see it after the commit', async () => {
    const first = storage.change((draft) => draft.putKey(aKey(1)))
    const second = storage.change((draft) => {
      const seen = draft.findKey(aKey(1).arn)
      return { seen, mine: seen && draft.putKey({ ...seen, description: 'b' }) }
    })
    expect(storage.snapshot.findKey(aKey(1).arn)).to.equal(undefined)
    expect((await first).rowVersion).to.equal(1)
    expect((await second).seen?.rowVersion).to.equal(1)
    expect((await second).mine?.rowVersion).to.equal(2)
    expect(storage.snapshot.findKey(aKey(1).arn)).to.include({ description: 'b', rowVersion: 2 })
    expect(storage.snapshot.version).to.equal(1)
  })

  it('what one change throws undoes that change only', async () => {
    const changes = [
      storage.change((draft) => void draft.putKey(aKey(1))),
      storage.change((draft) => {
        draft.putKey(aKey(2))
        throw new RangeError('no')
      }),
      storage.change((draft) => void draft.putKey(aKey(3))),
    ]
    const outcomes = await Promise.allSettled(changes)
    expect(outcomes.map(({ status }) => status)).to.deep.equal([
      'fulfilled',
      'rejected',
      'fulfilled',
    ])
    await reopen()
    expect([...storage.snapshot.allKeys()].map((key) => key.keyId)).to.have.members(['k1', 'k3'])
  })

  it('runs thousands of waiting changes, each of them once and in order', async () => {
    const seen: number[] = []
    await Promise.all(
      Array.from({ length: 3000 }, (_, i) =>
        storage.change((draft) => {
          seen.push(i)
          return draft.nextLineage()
        }),
      ),
    )
    expect(seen).to.deep.equal(Array.from({ length: 3000 }, (_, i) => i))
    expect(storage.snapshot.lineage).to.equal(3000)
  })

  it('FM-F27: refuses a change that was made from an older record', async () => {
    const first = await storage.change((draft) => draft.putKey(aKey(1)))
    await storage.change((draft) => draft.putKey({ ...first, description: 'newer' }))
    const stale = storage.change((draft) => draft.putKey({ ...first, description: 'stale' }))
    expect(await stale.catch((error: Error) => error)).to.be.instanceOf(TypeError)
    expect(storage.snapshot.findKey(first.arn)?.description).to.equal('newer')
  })

  it('a buried key takes its materials with it and leaves its name', async () => {
    await storage.change((draft) => {
      draft.putKey(aKey(1))
      draft.putMaterial(aMaterial(1))
    })
    const { arn, accountId, region, keyId } = aKey(1)
    await storage.change((draft) => {
      draft.buryKey({ arn, accountId, region, keyId, destroyedAt: 5, materialIds: ['m1'] })
      expect(draft.findKey(arn)).to.equal(undefined)
      expect(draft.materialsOf(arn)).to.deep.equal([])
    })
    await reopen()
    expect([...storage.snapshot.allMaterials()]).to.deep.equal([])
    expect(storage.snapshot.keysIn(accountId, region)).to.deep.equal([])
    expect(storage.snapshot.findTombstone(arn)?.materialIds).to.deep.equal(['m1'])
  })

  it('keys are listed by account and region, sorted, also after changes', async () => {
    for (const n of [3, 1, 2]) await storage.change((draft) => draft.putKey(aKey(n)))
    await storage.change((draft) => draft.putKey({ ...aKey(9), arn: 'arn:other', region: 'r2' }))
    const ids = () => storage.snapshot.keysIn('111122223333', 'r1').map((key) => key.keyId)
    expect(ids()).to.deep.equal(['k1', 'k2', 'k3'])
    await storage.change((draft) => draft.putKey(aKey(0)))
    expect(ids()).to.deep.equal(['k0', 'k1', 'k2', 'k3'])
    expect(storage.snapshot.keysIn('444455556666', 'r1')).to.deep.equal([])
  })

  it('material stays the same object when its count changes', async () => {
    const material = aMaterial(1)
    await storage.change((draft) => {
      draft.putKey(aKey(1))
      draft.putMaterial(material)
    })
    await storage.change((draft) => draft.putMaterial({ ...material, encryptionsReserved: 7 }))
    const [latest] = storage.snapshot.materialsOf(aKey(1).arn)
    expect(latest?.encryptionsReserved).to.equal(7)
    expect(latest?.material).to.equal(material.material)
  })

  it('FM-F30: read-only storage refuses changes and goes on with its bookkeeping', async () => {
    storage.setReadOnly('older than the token')
    const refused = await storage.change((draft) => draft.putKey(aKey(1))).catch((e: Error) => e)
    expect(refused).to.be.instanceOf(KmsError).and.to.include({
      code: 'KMSInvalidStateException',
      message: 'older than the token',
    })
    await storage.change((draft) => draft.setHeartbeat(9), { evenReadOnly: true })
    expect(storage.snapshot.heartbeat).to.equal(9)
    storage.setReadOnly(undefined)
    await storage.change((draft) => draft.putKey(aKey(1)))
  })

  it('FM-F33: gives each database an identity that a rebuild may replace', async () => {
    const second = await engine.openAnother()
    expect(second.snapshot.instanceId).not.to.equal(storage.snapshot.instanceId)
    await second.change((draft) => draft.adoptInstance(storage.snapshot.instanceId, 77))
    expect(second.snapshot).to.include({ instanceId: storage.snapshot.instanceId, lineage: 77 })
    await second.close()
  })

  it('finds itself sound', async () => {
    await storage.change((draft) => {
      draft.putKey(aKey(1))
      draft.putMaterial(aMaterial(1))
    })
    expect(await storage.checkIntegrity()).to.deep.equal([])
  })
}

describe('SQLite storage', () => {
  let directory: string
  let path: string
  let storage: Storage
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-storage-'))
    path = join(directory, 'test.db')
    storage = await openStorage({ path })
  })
  afterEach(async () => {
    await storage.close()
    rmSync(directory, { recursive: true })
  })

  it('FM-F27: refuses to go on over what another process wrote', async () => {
    await storage.change((draft) => draft.putKey(aKey(1)))
    const other = await openStorage({ path })
    await other.change((draft) => draft.putKey(aKey(2)))
    await other.close()
    const error = await storage.change((draft) => draft.putKey(aKey(3))).catch((e: Error) => e)
    expect(error).to.be.instanceOf(KmsError).with.property('code', 'KMSInternalException')
    expect(String((error as Error).cause)).to.contain('another process')
    expect(storage.snapshot.findKey(aKey(3).arn)).to.equal(undefined)
  })

  it('files are readable by nobody else', async () => {
    await storage.change((draft) => draft.putKey(aKey(1)))
    await storage.backup(join(directory, 'copy.db'))
    for (const name of readdirSync(directory))
      expect(statSync(join(directory, name)).mode & 0o077, name).to.equal(0)
  })

  it('a backup during changes is whole, and never overwrites', async () => {
    const copy = join(directory, 'copy.db')
    const changes = Array.from({ length: 200 }, (_, i) =>
      storage.change((draft) => {
        draft.putKey(aKey(i))
        draft.putMaterial(aMaterial(i))
      }),
    )
    const backup = storage.backup(copy)
    await Promise.all(changes)
    await backup
    const facts = inspectDatabase(copy)
    expect(facts.instanceId).to.equal(storage.snapshot.instanceId)
    const again = await storage.backup(copy).catch((error: Error) => error)
    expect(again).to.be.instanceOf(StorageError)
    const opened = await openStorage({ path: copy })
    expect([...opened.snapshot.allMaterials()].length).to.equal(
      [...opened.snapshot.allKeys()].length,
    )
    await opened.close()
  })

  it('a file that is damaged or none of ours is no backup', () => {
    const odd = join(directory, 'odd.db')
    expect(() => inspectDatabase(odd)).to.throw(StorageError, 'does not exist')
    writeFileSync(odd, 'hello')
    expect(() => inspectDatabase(odd)).to.throw(StorageError, 'not a database of hsm-bridge')
  })

  it('FM-F49: refuses a database of a newer version, in words', async () => {
    await storage.close()
    const sqlite = new Sqlite(path)
    sqlite.prepare("insert into kysely_migration values ('9999-future', 'x')").run()
    sqlite.close()
    const error = await openStorage({ path }).catch((thrown: Error) => thrown)
    expect(error).to.be.instanceOf(StorageError)
    expect((error as Error).message).to.contain('newer hsm-bridge (9999-future)')
    const fixed = new Sqlite(path)
    fixed.prepare("delete from kysely_migration where name = '9999-future'").run()
    fixed.close()
    storage = await openStorage({ path })
  })

  it('an acknowledged change survives SIGKILL', function () {
    this.timeout(30_000)
    const script = `
      import { openStorage } from ${JSON.stringify(join(import.meta.dirname, '../../src/storage/open-storage.ts'))}
      const storage = await openStorage({ path: ${JSON.stringify(join(directory, 'killed.db'))} })
      for (let i = 0; i < 20; i++) {
        const lineage = await storage.change((draft) => draft.nextLineage())
        process.stdout.write(lineage + '\\n')
      }
      process.kill(process.pid, 'SIGKILL')`
    let output = ''
    try {
      execFileSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'pipe' })
    } catch (error) {
      output = String((error as { stdout: Buffer }).stdout)
    }
    const acknowledged = Number(output.trim().split('\n').at(-1))
    expect(acknowledged).to.equal(20)
    expect(inspectDatabase(join(directory, 'killed.db')).lineage).to.equal(20)
  })
})
