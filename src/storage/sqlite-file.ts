import { chmodSync, closeSync, existsSync, openSync } from 'node:fs'
import Sqlite from 'better-sqlite3'
import { Kysely, SqliteDialect } from 'kysely'
import { Migrator } from 'kysely/migration'
import { MIGRATIONS } from './migrations.ts'
import { StorageError } from './storage-error.ts'
import type { Tables } from './tables.ts'

const PRIVATE_MODE = 0o600
const BUSY_TIMEOUT_MS = 5000

/** Opens the file, or makes it with mode 0600; SQLite gives its WAL the same mode. */
export function openSqlite(path: string): Sqlite.Database {
  closeSync(openSync(path, 'a', PRIVATE_MODE))
  chmodSync(path, PRIVATE_MODE)
  const sqlite = new Sqlite(path, { timeout: BUSY_TIMEOUT_MS })
  sqlite.pragma('journal_mode = WAL')
  sqlite.pragma('synchronous = FULL')
  sqlite.pragma('foreign_keys = ON')
  return sqlite
}

export function kyselyOf(sqlite: Sqlite.Database): Kysely<Tables> {
  return new Kysely<Tables>({ dialect: new SqliteDialect({ database: sqlite }) })
}

/** Brings an older database to the newest form in one transaction, after a copy beside it (FM-F49). Throws StorageError. */
export async function migrate(
  sqlite: Sqlite.Database,
  db: Kysely<Tables>,
  path: string,
): Promise<void> {
  const applied = appliedMigrations(sqlite)
  assertKnown(applied, path)
  const missing = Object.keys(MIGRATIONS).find((name) => !applied.includes(name))
  if (missing === undefined) return
  if (applied.length > 0) await copyDatabase(sqlite, `${path}.before-${missing}`)
  const migrator = new Migrator({ db, provider: { getMigrations: async () => MIGRATIONS } })
  const { error } = await migrator.migrateToLatest()
  if (error) throw new StorageError(`${path}: the database could not be migrated`, error)
}

/** A consistent copy while the database is in use. Refuses to overwrite a file. */
export async function copyDatabase(sqlite: Sqlite.Database, toPath: string): Promise<void> {
  if (existsSync(toPath)) throw new StorageError(`${toPath} exists already`)
  closeSync(openSync(toPath, 'wx', PRIVATE_MODE))
  await sqlite.backup(toPath)
}

export function integrityProblems(sqlite: Sqlite.Database): readonly string[] {
  const rows = sqlite.pragma('integrity_check') as { integrity_check: string }[]
  const problems = rows.map((row) => row.integrity_check).filter((text) => text !== 'ok')
  const orphans = sqlite.pragma('foreign_key_check') as { table: string }[]
  return [...problems, ...orphans.map(({ table }) => `${table}: a row without its parent`)]
}

export function appliedMigrations(sqlite: Sqlite.Database): readonly string[] {
  const table = sqlite
    .prepare("select 1 from sqlite_master where type = 'table' and name = 'kysely_migration'")
    .get()
  if (!table) return []
  const rows = sqlite.prepare('select name from kysely_migration order by name').all()
  return (rows as { name: string }[]).map((row) => row.name)
}

export function assertKnown(applied: readonly string[], path: string): void {
  const unknown = applied.filter((name) => !Object.hasOwn(MIGRATIONS, name))
  if (unknown.length > 0)
    throw new StorageError(
      `${path} was written by a newer hsm-bridge (${unknown.join(', ')}). Use that version, or restore the copy that it made before its migration.`,
    )
}
