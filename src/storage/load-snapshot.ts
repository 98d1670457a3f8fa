import type { Kysely } from 'kysely'
import type { Change } from './change.ts'
import { MemorySnapshot } from './memory-snapshot.ts'
import {
  aliasOf,
  externalFactsOf,
  intentOf,
  keyOf,
  lastUseOf,
  materialOf,
  principalOf,
  tombstoneOf,
  xksCredentialOf,
  xksStoreOf,
} from './rows.ts'
import type { Tables } from './tables.ts'

/** Reads the whole database into memory. */
export async function loadSnapshot(db: Kysely<Tables>): Promise<MemorySnapshot> {
  const instance = await db.selectFrom('instance').selectAll().executeTakeFirstOrThrow()
  const { instance_id: instanceId, lineage, heartbeat } = instance
  const secret = Buffer.from(instance.marker_secret, 'base64')
  const usesRecordedSince = instance.uses_recorded_since
  const facts = { instanceId, lineage, heartbeat, usesRecordedSince }
  const snapshot = new MemorySnapshot(instance.version, facts, secret)
  snapshot.commit(instance.version, await everything(db))
  return snapshot
}

async function everything(db: Kysely<Tables>): Promise<readonly Change[]> {
  const keys = await db.selectFrom('kms_key').selectAll().execute()
  const externalKeys = await db.selectFrom('xks_key').selectAll().execute()
  const external = new Map(externalKeys.map((row) => [row.key_arn, externalFactsOf(row)]))
  const materials = await db.selectFrom('key_material').selectAll().execute()
  const lastUses = await db.selectFrom('key_last_use').selectAll().execute()
  const aliases = await db.selectFrom('kms_alias').selectAll().execute()
  const intents = await db.selectFrom('intent').selectAll().orderBy('created_at').execute()
  const tombstones = await db.selectFrom('tombstone').selectAll().execute()
  const principals = await db.selectFrom('principal').selectAll().execute()
  const xksStores = await db.selectFrom('xks_store').selectAll().execute()
  const xksCredentials = await db.selectFrom('xks_credential').selectAll().execute()
  const anchors = await db.selectFrom('token_anchor').selectAll().execute()
  const latches = await db.selectFrom('login_latch').selectAll().execute()
  return [
    ...keys.map((row) => ({ kind: 'key', key: keyOf(row, external.get(row.arn)) }) as const),
    ...materials.map(
      (row) => ({ kind: 'material', material: materialOf(row), isNew: false }) as const,
    ),
    ...lastUses.map(
      (row) => ({ kind: 'last-use', keyArn: row.key_arn, use: lastUseOf(row) }) as const,
    ),
    ...aliases.map((row) => ({ kind: 'alias', alias: aliasOf(row), isNew: false }) as const),
    ...intents.map((row) => ({ kind: 'intent', intent: intentOf(row) }) as const),
    ...tombstones.map((row) => ({ kind: 'bury', tombstone: tombstoneOf(row) }) as const),
    ...principals.map(
      (row) => ({ kind: 'principal', principal: principalOf(row), isNew: false }) as const,
    ),
    ...xksStores.map(
      (row) => ({ kind: 'xks-store', store: xksStoreOf(row), isNew: false }) as const,
    ),
    ...xksCredentials.map(
      (row) => ({ kind: 'xks-credential', credential: xksCredentialOf(row) }) as const,
    ),
    ...anchors.map(
      (row) =>
        ({
          kind: 'anchors',
          tokenSerial: row.token_serial,
          anchors: JSON.parse(row.anchors) as unknown,
        }) as const,
    ),
    ...latches.map(
      (row) =>
        ({
          kind: 'latch',
          tokenSerial: row.token_serial,
          latch: JSON.parse(row.latch) as unknown,
        }) as const,
    ),
  ]
}
