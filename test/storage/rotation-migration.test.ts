import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { Migrator } from 'kysely/migration'
import { MIGRATIONS } from '../../src/storage/migrations.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import { kyselyOf, openSqlite } from '../../src/storage/sqlite-file.ts'
import { aKey, aMaterial } from './sample-keys.ts'

const KEY = aKey(1).arn

describe('the migration to rotation and last use', () => {
  let directory: string
  let path: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-migration-'))
    path = join(directory, 'test.db')
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  it('takes every material but the first of a version-1 database for rotated on demand', async () => {
    await makeVersion1()
    const before = Date.now()
    const storage = await openStorage({ path })
    const { snapshot } = storage
    expect(snapshot.findKey(KEY)).to.include({ rotationSchedule: undefined, onDemandRotations: 2 })
    expect(snapshot.materialsOf(KEY).map(({ rotation }) => rotation)).to.deep.equal([
      undefined,
      { type: 'ON_DEMAND', at: 200 },
      { type: 'ON_DEMAND', at: 300 },
    ])
    expect(snapshot.findLastUse(KEY)).to.equal(undefined)
    expect(snapshot.usesRecordedSince).to.be.within(before, Date.now())
    await storage.close()
  })

  it('says nothing about uses before its time in a new database', async () => {
    const storage = await openStorage({ path })
    expect(storage.snapshot.usesRecordedSince).to.equal(0)
    await storage.close()
  })

  it('schedule, rotation and last use are there again after a restart, and may change', async () => {
    const rotationSchedule = { periodDays: 90, nextAt: 1_800_000_000_000 }
    const rotation = { type: 'AUTOMATIC', at: 7 } as const
    const use = { operation: 'Encrypt', at: 5, eventId: undefined, requestId: 'r' } as const
    let storage = await openStorage({ path })
    await storage.change((draft) => {
      draft.putKey({ ...aKey(1), rotationSchedule })
      draft.putMaterial({ ...aMaterial(1), rotation })
      draft.putLastUse(KEY, use)
      expect(draft.findLastUse(KEY)).to.equal(use)
    })
    await storage.change((draft) => draft.putLastUse(KEY, { ...use, eventId: 'e', at: 6 }))
    await storage.close()
    storage = await openStorage({ path })
    expect(storage.snapshot.findKey(KEY)?.rotationSchedule).to.deep.equal(rotationSchedule)
    expect(storage.snapshot.materialsOf(KEY)[0]?.rotation).to.deep.equal(rotation)
    expect(storage.snapshot.findLastUse(KEY)).to.deep.equal({ ...use, eventId: 'e', at: 6 })
    await storage.close()
  })

  /** What the first release wrote for a key that was rotated twice. */
  async function makeVersion1(): Promise<void> {
    const sqlite = openSqlite(path)
    const db = kyselyOf(sqlite)
    const first = { '0001-foundation': MIGRATIONS['0001-foundation'] ?? expect.fail('no 0001') }
    const migrator = new Migrator({ db, provider: { getMigrations: async () => first } })
    expect((await migrator.migrateToLatest()).error).to.equal(undefined)
    sqlite.exec(`
      insert into instance values (1, 'i', 0, 3, 0, 'AAAA');
      insert into kms_key values ('${KEY}', 'k1', '111122223333', 'r1', '', 'SYMMETRIC_DEFAULT',
        'ENCRYPT_DECRYPT', 'AWS_KMS', 'Enabled', 100, null, '{}', '[]', 'm3', 2, 1);`)
    for (const n of [1, 2, 3])
      sqlite.exec(`insert into key_material values
        ('${KEY}', 'm${n}', 'r1', 'AES_GCM', '[]', '', ${n}, ${n * 100}, 0)`)
    await db.destroy()
  }
})
