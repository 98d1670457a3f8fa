import { join } from 'node:path'
import pg from 'pg'
import { openPostgresStorage, openStorage } from '../../src/storage/open-storage.ts'
import type { Storage } from '../../src/storage/storage.ts'

/** Names the server of a run on PostgreSQL (test/kms/on-postgres.test.ts); otherwise suites run on SQLite. */
export const ENGINE_VARIABLE = 'HSM_BRIDGE_TEST_POSTGRES'

/** Databases by the path that they stand for. Making one takes a tenth of a second, so they are used again. */
const inUse = new Map<string, string>()
const free: string[] = []

/** Opens the database of that name that belongs to the directory, on the engine of this run; new and empty the first time. */
export async function openOnEngine(directory: string, name: string): Promise<Storage> {
  const server = process.env[ENGINE_VARIABLE]
  const path = join(directory, name)
  if (server === undefined) return await openStorage({ path })
  const url = inUse.get(path) ?? (await emptyDatabase(server))
  inUse.set(path, url)
  return await openPostgresStorage({ url })
}

/** Nobody opens what belongs to the directory again. */
export function forgetOnEngine(directory: string): void {
  for (const [path, url] of inUse) {
    if (!path.startsWith(`${directory}/`)) continue
    inUse.delete(path)
    free.push(url)
  }
}

async function emptyDatabase(server: string): Promise<string> {
  const used = free.pop()
  if (used !== undefined) {
    await query(used, EMPTY)
    return used
  }
  const url = new URL(server)
  url.pathname = `/engine_${inUse.size + free.length}_${process.pid}_${Date.now()}`
  await query(server, `create database ${url.pathname.slice(1)}`)
  return url.href
}

const EMPTY = `do $$ declare one record; begin
  for one in select relname from pg_class
    where relkind = 'r' and relnamespace = 'public'::regnamespace and relname not like 'kysely%'
  loop execute format('delete from %I', one.relname); end loop;
end $$`

async function query(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(text)
  await client.end()
}
