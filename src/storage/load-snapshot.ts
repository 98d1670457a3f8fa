import type { Kysely } from 'kysely'
import type { Change } from './change.ts'
import { MemorySnapshot } from './memory-snapshot.ts'
import { intentOf, keyOf, materialOf, principalOf, tombstoneOf } from './rows.ts'
import type { Tables } from './tables.ts'

/** Reads the whole database into memory. */
export async function loadSnapshot(db: Kysely<Tables>): Promise<MemorySnapshot> {
  const instance = await db.selectFrom('instance').selectAll().executeTakeFirstOrThrow()
  const { instance_id: instanceId, lineage, heartbeat } = instance
  const secret = Buffer.from(instance.marker_secret, 'base64')
  const snapshot = new MemorySnapshot(instance.version, { instanceId, lineage, heartbeat }, secret)
  snapshot.commit(instance.version, await everything(db))
  return snapshot
}

async function everything(db: Kysely<Tables>): Promise<readonly Change[]> {
  const keys = await db.selectFrom('kms_key').selectAll().execute()
  const materials = await db.selectFrom('key_material').selectAll().execute()
  const intents = await db.selectFrom('intent').selectAll().orderBy('created_at').execute()
  const tombstones = await db.selectFrom('tombstone').selectAll().execute()
  const principals = await db.selectFrom('principal').selectAll().execute()
  const anchors = await db.selectFrom('token_anchor').selectAll().execute()
  return [
    ...keys.map((row) => ({ kind: 'key', key: keyOf(row) }) as const),
    ...materials.map(
      (row) => ({ kind: 'material', material: materialOf(row), isNew: false }) as const,
    ),
    ...intents.map((row) => ({ kind: 'intent', intent: intentOf(row) }) as const),
    ...tombstones.map((row) => ({ kind: 'bury', tombstone: tombstoneOf(row) }) as const),
    ...principals.map(
      (row) => ({ kind: 'principal', principal: principalOf(row), isNew: false }) as const,
    ),
    ...anchors.map(
      (row) =>
        ({
          kind: 'anchors',
          tokenSerial: row.token_serial,
          anchors: JSON.parse(row.anchors) as unknown,
        }) as const,
    ),
  ]
}
