import { randomBytes, randomUUID } from 'node:crypto'
import type { Kysely } from 'kysely'
import { loadSnapshot } from './load-snapshot.ts'
import { copyDatabase, integrityProblems, kyselyOf, migrate, openSqlite } from './sqlite-file.ts'
import { SqliteStorage } from './sqlite-storage.ts'
import type { Storage } from './storage.ts'
import type { Tables } from './tables.ts'

const MARKER_SECRET_BYTES = 32

/** Opens the database at `path`, makes or migrates it as needed, and reads it into memory. Throws StorageError. */
export async function openStorage({ path }: { readonly path: string }): Promise<Storage> {
  const sqlite = openSqlite(path)
  const db = kyselyOf(sqlite)
  try {
    await migrate(sqlite, db, path)
    await ensureInstance(db)
    return new SqliteStorage(db, await loadSnapshot(db), {
      copy: (toPath) => copyDatabase(sqlite, toPath),
      integrityProblems: () => integrityProblems(sqlite),
    })
  } catch (error) {
    await db.destroy()
    throw error
  }
}

/** Gives a new database its identity. */
async function ensureInstance(db: Kysely<Tables>): Promise<void> {
  const existing = await db.selectFrom('instance').select('id').executeTakeFirst()
  if (existing) return
  await db
    .insertInto('instance')
    .values({
      id: 1,
      instance_id: randomUUID(),
      version: 0,
      lineage: 0,
      heartbeat: 0,
      marker_secret: randomBytes(MARKER_SECRET_BYTES).toString('base64'),
    })
    .execute()
}
