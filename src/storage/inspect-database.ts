import { existsSync } from 'node:fs'
import Sqlite from 'better-sqlite3'
import { appliedMigrations, assertKnown, integrityProblems } from './sqlite-file.ts'
import { StorageError } from './storage-error.ts'
import type { InstanceRow } from './tables.ts'

/** What a database file says of itself, before it is put in the place of another. */
export interface DatabaseFacts {
  readonly instanceId: string
  readonly lineage: number
  readonly version: number
  readonly keys: number
}

/** Reads a copy without changing it. Throws StorageError when it is damaged, newer than this program, or none of ours. */
export function inspectDatabase(path: string): DatabaseFacts {
  if (!existsSync(path)) throw new StorageError(`${path} does not exist`)
  const sqlite = new Sqlite(path, { readonly: true })
  try {
    return facts(sqlite, path)
  } catch (error) {
    if (error instanceof StorageError) throw error
    throw new StorageError(`${path} is not a database of hsm-bridge`, error)
  } finally {
    sqlite.close()
  }
}

function facts(sqlite: Sqlite.Database, path: string): DatabaseFacts {
  const [problem] = integrityProblems(sqlite)
  if (problem !== undefined) throw new StorageError(`${path} is damaged: ${problem}`)
  assertKnown(appliedMigrations(sqlite), path)
  const row = sqlite.prepare('select * from instance').get() as InstanceRow
  const { keys } = sqlite.prepare('select count(*) as keys from kms_key').get() as { keys: number }
  return { instanceId: row.instance_id, lineage: row.lineage, version: row.version, keys }
}
