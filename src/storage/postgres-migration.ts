import { type Kysely, sql } from 'kysely'
import { Migrator } from 'kysely/migration'
import { MIGRATIONS } from './migrations.ts'
import { DatabaseAway, type PostgresConnections } from './postgres-connections.ts'
import { StorageError } from './storage-error.ts'
import type { Tables } from './tables.ts'

/** The first with idle_session_timeout, by which a stopped daemon loses its locks. */
const OLDEST_SERVER = 140_000

/**
 * Brings the tables to the newest form; of several daemons that begin at the same time one does it and the others wait. Throws
 * StorageError for a server or a database that this program cannot use.
 */
export async function migratePostgres({ db, name }: PostgresConnections): Promise<void> {
  try {
    const { schema: migrationTableSchema } = await findServer(db, name)
    const applied = await appliedMigrations(db)
    assertKnown(applied, name)
    if (Object.keys(MIGRATIONS).every((migration) => applied.includes(migration))) return
    const provider = { getMigrations: async () => MIGRATIONS }
    const { error } = await new Migrator({ db, provider, migrationTableSchema }).migrateToLatest()
    if (error instanceof DatabaseAway) throw error
    if (error) throw new StorageError(`${name}: the database could not be migrated`, error)
  } catch (error) {
    if (error instanceof DatabaseAway || error instanceof StorageError) throw error
    throw new StorageError(`${name}: the database cannot be used`, error)
  }
}

/** Version and place of the server, and how long it takes to answer. Throws DatabaseAway, StorageError. */
export async function describeServer({ db, name }: PostgresConnections): Promise<string> {
  await findServer(db, name) // a connection is there
  const asked = performance.now()
  const { version } = await findServer(db, name)
  const ms = Math.max(1, Math.round(performance.now() - asked))
  return `PostgreSQL ${version} at ${name}, answers in ${ms} ms`
}

interface Server {
  readonly version: string
  readonly schema: string
}

/** Our schema is named, because other programs may keep migrations of their own in other schemas of the database. */
async function findServer(db: Kysely<Tables>, name: string): Promise<Server> {
  const { rows } = await sql<{ number: string; version: string; schema: string | null }>`
    select current_setting('server_version_num') as number,
      current_setting('server_version') as version,
      current_schema() as schema`.execute(db)
  const [server] = rows
  if (!server || Number(server.number) < OLDEST_SERVER)
    throw new StorageError(`${name} is PostgreSQL ${server?.version}; 14 or newer is needed`)
  const { schema, version } = server
  if (schema === null)
    throw new StorageError(`${name}: the search path names no schema that exists`)
  return { schema, version }
}

async function appliedMigrations(db: Kysely<Tables>): Promise<readonly string[]> {
  const found = await sql<{ name: string | null }>`
    select to_regclass('kysely_migration')::text as name`.execute(db)
  if (!found.rows[0]?.name) return []
  const applied = await sql<{ name: string }>`select name from kysely_migration`.execute(db)
  return applied.rows.map((row) => row.name)
}

function assertKnown(applied: readonly string[], database: string): void {
  const unknown = applied.filter((migration) => !Object.hasOwn(MIGRATIONS, migration))
  if (unknown.length > 0)
    throw new StorageError(
      `${database} was written by a newer hsm-bridge (${unknown.join(', ')}). Use that version, or restore the dump that was made before its migration.`,
    )
}
