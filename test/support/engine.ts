import { createHash } from 'node:crypto'
import { join } from 'node:path'
import pg from 'pg'
import { openPostgresStorage, openStorage } from '../../src/storage/open-storage.ts'
import type { Storage } from '../../src/storage/storage.ts'

/** Names the server of a run on PostgreSQL (test/kms/on-postgres.test.ts); otherwise suites run on SQLite. */
export const ENGINE_VARIABLE = 'HSM_BRIDGE_TEST_POSTGRES'

const TEMPLATE = 'hsm_bridge_template'
const made = new Set<string>()

/** Opens the database of that name that belongs to the directory, and makes it the first time, on the engine of this run. */
export async function openOnEngine(directory: string, name: string): Promise<Storage> {
  const server = process.env[ENGINE_VARIABLE]
  const path = join(directory, name)
  return server === undefined
    ? await openStorage({ path })
    : await openPostgresStorage({ url: await databaseFor(path, server) })
}

/** A copy of one that has its tables already. */
async function databaseFor(path: string, server: string): Promise<string> {
  const name = `test_${createHash('sha256').update(path).digest('hex').slice(0, 32)}`
  template ??= makeTemplate(server)
  await template
  if (!made.has(name)) {
    await query(server, `create database ${name} template ${TEMPLATE} strategy file_copy`)
    made.add(name)
  }
  return urlOf(server, name)
}

let template: Promise<void> | undefined

async function makeTemplate(server: string): Promise<void> {
  await query(server, `create database ${TEMPLATE}`)
  const storage = await openPostgresStorage({ url: urlOf(server, TEMPLATE) })
  await storage.close()
  await query(urlOf(server, TEMPLATE), 'delete from instance') // each copy draws an identity of its own
}

function urlOf(server: string, database: string): string {
  const url = new URL(server)
  url.pathname = `/${database}`
  return url.href
}

async function query(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(text)
  await client.end()
}
