import { randomBytes, randomUUID } from 'node:crypto'
import type { Kysely } from 'kysely'
import { loadSnapshot } from './load-snapshot.ts'
import { PostgresConnections } from './postgres-connections.ts'
import { describeServer, migratePostgres } from './postgres-migration.ts'
import { loadWhole, type PostgresEvents, PostgresStorage } from './postgres-storage.ts'
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
      describe: () => `SQLite, ${path}`,
    })
  } catch (error) {
    await db.destroy()
    throw error
  }
}

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`, with the parameters that libpq knows. */
  readonly url: string
  /** This daemon among those that share the database, the same after each start. */
  readonly daemon?: string
  readonly events?: PostgresEvents
}

/**
 * Opens a PostgreSQL database that several daemons may share, makes or migrates its tables as needed, and reads it into memory.
 * Throws DatabaseAway while it does not answer, StorageError for a database that this program cannot use.
 */
export async function openPostgresStorage(options: PostgresOptions): Promise<Storage> {
  const connections = new PostgresConnections(options.url)
  try {
    await migratePostgres(connections)
    await ensureInstance(connections.db)
    return new PostgresStorage({
      connections,
      snapshot: await loadWhole(connections.db),
      daemon: options.daemon ?? '',
      events: options.events ?? {},
    })
  } catch (error) {
    await connections.close()
    throw error
  }
}

/** What can be said of the server without opening the database. Throws DatabaseAway, StorageError. */
export async function describePostgres(url: string): Promise<string> {
  const connections = new PostgresConnections(url)
  try {
    return await describeServer(connections)
  } finally {
    await connections.close()
  }
}

/** Gives a new database its identity. */
async function ensureInstance(db: Kysely<Tables>): Promise<void> {
  await db
    .insertInto('instance')
    .values({
      id: 1,
      instance_id: randomUUID(),
      version: 0,
      lineage: 0,
      heartbeat: 0,
      marker_secret: randomBytes(MARKER_SECRET_BYTES).toString('base64'),
      uses_recorded_since: 0,
    })
    .onConflict((conflict) => conflict.column('id').doNothing()) // of two daemons that begin, one is first
    .execute()
}
