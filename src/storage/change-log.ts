import { type Kysely, sql, type Transaction } from 'kysely'
import type { Change } from './change.ts'
import type { Tables } from './tables.ts'

/** Daemons listen here; the payload is of no interest. */
export const CHANGE_CHANNEL = 'hsm_bridge'

/** A daemon that is further behind than this reads everything anew. */
const VERSIONS_KEPT = 4096
const TRIM_EVERY = 512

/** One version of the database that was read from the log; null when the log ends before. */
interface LogRow {
  readonly latest: number
  readonly version: number | null
  readonly changes: string | null
}

/** What the database says of the versions after `since`: at least one row, whose `latest` is the newest version. */
export function readChangeLog(db: Kysely<Tables>, since: number): Promise<readonly LogRow[]> {
  return db
    .selectFrom('instance')
    .leftJoin('change_log', (join) => join.on('change_log.version', '>', since))
    .select(['instance.version as latest', 'change_log.version', 'change_log.changes'])
    .orderBy('change_log.version')
    .execute()
}

/** Tells the other daemons, in the transaction itself, what it changes. */
export async function writeChangeLog(
  db: Transaction<Tables>,
  version: number,
  changes: readonly Change[],
): Promise<void> {
  await db
    .insertInto('change_log')
    .values({ version, changes: encodeChanges(changes) })
    .execute()
  await sql`select pg_notify(${CHANGE_CHANNEL}, '')`.execute(db)
  if (version % TRIM_EVERY !== 0) return
  await db
    .deleteFrom('change_log')
    .where('version', '<=', version - VERSIONS_KEPT)
    .execute()
}

/** Records of audit are their daemon's own business. */
export function encodeChanges(changes: readonly Change[]): string {
  return JSON.stringify(changes.filter(({ kind }) => kind !== 'audit'))
}

/** Bytes come back as bytes; members that were undefined are absent. */
export function decodeChanges(text: string): readonly Change[] {
  return JSON.parse(text, (_name, value: unknown) =>
    isBytes(value) ? Buffer.from(value.data) : value,
  )
}

function isBytes(value: unknown): value is { type: 'Buffer'; data: number[] } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'type' in value &&
    value.type === 'Buffer' &&
    'data' in value &&
    Array.isArray(value.data)
  )
}
