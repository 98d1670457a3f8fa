import { copyFileSync, existsSync, renameSync, rmSync, statSync } from 'node:fs'
import { ROTATE_ENCRYPTIONS } from '../kms/encryption-budget.ts'
import { inspectDatabase } from '../storage/inspect-database.ts'
import { openPostgresStorage, openStorage } from '../storage/open-storage.ts'
import { withoutPassword } from '../storage/postgres-connections.ts'
import type { Storage } from '../storage/storage.ts'
import { ConfigError } from './config-error.ts'
import type { Surroundings } from './installation.ts'
import { takeStateLock } from './state-lock.ts'

export interface RestoreReport {
  readonly instanceId: string
  readonly lineage: number
  readonly keys: number
  /** Where the database that was in use lies now; undefined when there was none. */
  readonly replaced: string | undefined
}

const SIDE_FILES = ['', '-wal', '-shm'] as const

/**
 * Puts a backup in the place of the database, after it was opened and checked. The database in use is kept beside it. Refuses
 * while another process works on the state directory; nothing in the token changes.
 */
export async function restoreDatabase(
  { config }: Surroundings,
  from: string,
): Promise<RestoreReport> {
  if (config.databaseUrl) throw restoredByItsOwnTool(config.databaseUrl.reveal(), from)
  const { instanceId, lineage, keys } = inspectDatabase(from)
  const lock = takeStateLock(config.state.lock, 'hsm-bridge restore')
  const draft = `${config.databasePath}.restoring`
  try {
    removeDatabase(draft)
    copyFileSync(from, draft)
    await assumeBudgetSpent(await openStorage({ path: draft }))
    const replaced = setAside(config.databasePath)
    renameSync(draft, config.databasePath)
    return { instanceId, lineage, keys, replaced }
  } finally {
    removeDatabase(draft)
    lock.release()
  }
}

/** What remains to be done after PostgreSQL's own tool has put a dump back, while no daemon runs. */
export async function finishPostgresRestore({ config }: Surroundings): Promise<RestoreReport> {
  if (!config.databaseUrl)
    throw new ConfigError('storage.url', 'names no PostgreSQL database; use --from <file>')
  const storage = await openPostgresStorage({ url: config.databaseUrl.reveal() })
  const { instanceId, lineage } = storage.snapshot
  const keys = [...storage.snapshot.allKeys()].length
  await assumeBudgetSpent(storage)
  return { instanceId, lineage, keys, replaced: undefined }
}

function restoredByItsOwnTool(url: string, from: string): ConfigError {
  return new ConfigError(
    'storage.url',
    'PostgreSQL keeps this database. Stop every daemon on it, then run: ' +
      `pg_restore --clean --if-exists --single-transaction --dbname='${withoutPassword(url)}' ${from}` +
      ' and then: hsm-bridge restore --after-pg-restore',
  )
}

/**
 * ARCH-D7: how often a material encrypted since the backup was made, nobody knows; never more than up to the rotation limit.
 * So that is what is assumed, and each key rotates by itself at its next use. Closes the storage.
 */
async function assumeBudgetSpent(storage: Storage): Promise<void> {
  try {
    const low = [...storage.snapshot.allMaterials()].filter(
      ({ encryptionsReserved }) => encryptionsReserved < ROTATE_ENCRYPTIONS,
    )
    await storage.change(
      (draft) => {
        for (const made of low)
          draft.putMaterial({ ...made, encryptionsReserved: ROTATE_ENCRYPTIONS })
      },
      { evenReadOnly: true },
    )
  } finally {
    await storage.close()
  }
}

function setAside(path: string): string | undefined {
  if (!existsSync(path)) return undefined
  const stamp = new Date(statSync(path).mtimeMs).toISOString().replace(/[:.]/g, '')
  const aside = `${path}.replaced-${stamp}`
  for (const suffix of SIDE_FILES) {
    if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix)
  }
  return aside
}

function removeDatabase(path: string): void {
  for (const suffix of SIDE_FILES) rmSync(path + suffix, { force: true })
}
