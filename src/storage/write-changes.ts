import type { Transaction } from 'kysely'
import type { Change, Instance } from './change.ts'
import {
  aliasRow,
  intentRow,
  keyRow,
  lastUseRow,
  materialRow,
  principalRow,
  tombstoneRow,
  xksCredentialRow,
  xksKeyRow,
  xksStoreRow,
} from './rows.ts'
import type { Tables } from './tables.ts'

/** Somebody else wrote into the database since it was read: this process must not go on from what it remembers. */
export class StorageConflict extends Error {
  constructor(what: string) {
    super(`the database was changed by another process: ${what}`)
    this.name = 'StorageConflict'
  }
}

type Writer = Transaction<Tables>

/** Writes the changes in order and counts the version on from `version`; `daemon` is who delivers audit records. Throws StorageConflict. */
export async function writeChanges(
  db: Writer,
  version: number,
  changes: readonly Change[],
  daemon = '',
): Promise<void> {
  for (const change of changes) await writeChange(db, change, daemon)
  const counted = await db
    .updateTable('instance')
    .set({ version: version + 1 })
    .where('version', '=', version)
    .executeTakeFirst()
  if (counted.numUpdatedRows !== 1n) throw new StorageConflict('its version')
}

async function writeChange(db: Writer, change: Change, daemon: string): Promise<void> {
  switch (change.kind) {
    case 'key':
      return writeKey(db, change)
    case 'material':
      return writeMaterial(db, change)
    case 'bury':
      await db.deleteFrom('kms_alias').where('target_key_arn', '=', change.tombstone.arn).execute()
      await db.deleteFrom('key_material').where('key_arn', '=', change.tombstone.arn).execute()
      await db.deleteFrom('xks_key').where('key_arn', '=', change.tombstone.arn).execute()
      await db.deleteFrom('kms_key').where('arn', '=', change.tombstone.arn).execute()
      await db.insertInto('tombstone').values(tombstoneRow(change.tombstone)).execute()
      return
    case 'last-use':
      return writeLastUse(db, change)
    case 'alias':
      return writeAlias(db, change)
    case 'drop-alias':
      await db.deleteFrom('kms_alias').where('arn', '=', change.aliasArn).execute()
      return
    case 'intent':
      await db.insertInto('intent').values(intentRow(change.intent)).execute()
      return
    case 'drop-intent':
      await db.deleteFrom('intent').where('intent_id', '=', change.intentId).execute()
      return
    case 'principal':
      return writePrincipal(db, change)
    case 'drop-principal':
      await db.deleteFrom('principal').where('access_key_id', '=', change.accessKeyId).execute()
      return
    case 'xks-store':
      return writeXksStore(db, change)
    case 'drop-xks-store':
      await db.deleteFrom('xks_credential').where('store_name', '=', change.name).execute()
      await db.deleteFrom('xks_store').where('name', '=', change.name).execute()
      return
    case 'xks-credential':
      await db.insertInto('xks_credential').values(xksCredentialRow(change.credential)).execute()
      return
    case 'drop-xks-credential':
      await db
        .deleteFrom('xks_credential')
        .where('access_key_id', '=', change.accessKeyId)
        .execute()
      return
    case 'anchors':
      return writeAnchors(db, change)
    case 'latch':
      return writeLatch(db, change)
    case 'instance':
      await db.updateTable('instance').set(instanceColumns(change.instance)).execute()
      return
    case 'audit':
      await db
        .insertInto('audit_outbox')
        .values({
          event_id: change.line.eventId,
          at: change.line.at,
          line: change.line.text,
          daemon,
        })
        .execute()
      return
  }
}

async function writeKey(db: Writer, { key }: Change & { kind: 'key' }): Promise<void> {
  const row = keyRow(key)
  if (key.rowVersion === 1) {
    await db.insertInto('kms_key').values(row).execute()
    if (key.external)
      await db.insertInto('xks_key').values(xksKeyRow(key.arn, key.external)).execute()
    return
  }
  const updated = await db
    .updateTable('kms_key')
    .set(row)
    .where('arn', '=', key.arn)
    .where('row_version', '=', key.rowVersion - 1)
    .executeTakeFirst()
  if (updated.numUpdatedRows !== 1n) throw new StorageConflict(key.arn)
  if (!key.external) return
  await db
    .updateTable('xks_key')
    .set(xksKeyRow(key.arn, key.external))
    .where('key_arn', '=', key.arn)
    .execute()
}

async function writeMaterial(
  db: Writer,
  { material, isNew }: Change & { kind: 'material' },
): Promise<void> {
  const row = materialRow(material)
  if (isNew) {
    await db.insertInto('key_material').values(row).execute()
    return
  }
  // Material never changes; only its count does.
  await db
    .updateTable('key_material')
    .set({ encryptions_reserved: row.encryptions_reserved })
    .where('key_arn', '=', row.key_arn)
    .where('material_id', '=', row.material_id)
    .execute()
}

async function writeLastUse(
  db: Writer,
  { keyArn, use }: Change & { kind: 'last-use' },
): Promise<void> {
  const row = lastUseRow(keyArn, use)
  await db
    .insertInto('key_last_use')
    .values(row)
    .onConflict((conflict) => conflict.column('key_arn').doUpdateSet(row))
    .execute()
}

async function writeAlias(db: Writer, { alias, isNew }: Change & { kind: 'alias' }): Promise<void> {
  const row = aliasRow(alias)
  if (isNew) await db.insertInto('kms_alias').values(row).execute()
  else await db.updateTable('kms_alias').set(row).where('arn', '=', row.arn).execute()
}

async function writePrincipal(
  db: Writer,
  { principal, isNew }: Change & { kind: 'principal' },
): Promise<void> {
  const row = principalRow(principal)
  if (isNew) await db.insertInto('principal').values(row).execute()
  else
    await db
      .updateTable('principal')
      .set(row)
      .where('access_key_id', '=', row.access_key_id)
      .execute()
}

async function writeXksStore(
  db: Writer,
  { store, isNew }: Change & { kind: 'xks-store' },
): Promise<void> {
  const row = xksStoreRow(store)
  if (isNew) await db.insertInto('xks_store').values(row).execute()
  else await db.updateTable('xks_store').set(row).where('name', '=', row.name).execute()
}

async function writeAnchors(
  db: Writer,
  { tokenSerial, anchors }: Change & { kind: 'anchors' },
): Promise<void> {
  await db.deleteFrom('token_anchor').where('token_serial', '=', tokenSerial).execute()
  await db
    .insertInto('token_anchor')
    .values({ token_serial: tokenSerial, anchors: JSON.stringify(anchors) })
    .execute()
}

async function writeLatch(
  db: Writer,
  { tokenSerial, latch }: Change & { kind: 'latch' },
): Promise<void> {
  await db.deleteFrom('login_latch').where('token_serial', '=', tokenSerial).execute()
  if (latch === undefined) return
  const row = { token_serial: tokenSerial, latch: JSON.stringify(latch) }
  await db.insertInto('login_latch').values(row).execute()
}

function instanceColumns({ instanceId, lineage, heartbeat }: Partial<Instance>) {
  return {
    ...(instanceId !== undefined && { instance_id: instanceId }),
    ...(lineage !== undefined && { lineage }),
    ...(heartbeat !== undefined && { heartbeat }),
  }
}
