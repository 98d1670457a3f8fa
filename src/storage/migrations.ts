import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'

/**
 * Every form that the database ever had, in order; a released migration never changes. Only what SQLite and PostgreSQL both take:
 * numbers are bigint, lists are JSON in text, times are epoch milliseconds.
 */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-foundation': { up: foundation },
  '0002-aliases': { up: aliases },
  '0003-rotation-and-last-use': { up: rotationAndLastUse },
  '0004-fleet': { up: fleet },
  '0005-external-key-stores': { up: externalKeyStores },
}

async function foundation(db: Kysely<never>): Promise<void> {
  const { schema } = db
  await schema
    .createTable('instance')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('instance_id', 'varchar(36)', (column) => column.notNull())
    .addColumn('version', 'bigint', (column) => column.notNull())
    .addColumn('lineage', 'bigint', (column) => column.notNull())
    .addColumn('heartbeat', 'bigint', (column) => column.notNull())
    .addColumn('marker_secret', 'text', (column) => column.notNull())
    .execute()
  await schema
    .createTable('token_anchor')
    .addColumn('token_serial', 'varchar(64)', (column) => column.primaryKey())
    .addColumn('anchors', 'text', (column) => column.notNull())
    .execute()
  await schema
    .createTable('kms_key')
    .addColumn('arn', 'varchar(255)', (column) => column.primaryKey())
    .addColumn('key_id', 'varchar(64)', (column) => column.notNull())
    .addColumn('account_id', 'varchar(12)', (column) => column.notNull())
    .addColumn('region', 'varchar(64)', (column) => column.notNull())
    .addColumn('description', 'text', (column) => column.notNull())
    .addColumn('key_spec', 'varchar(64)', (column) => column.notNull())
    .addColumn('key_usage', 'varchar(64)', (column) => column.notNull())
    .addColumn('origin', 'varchar(64)', (column) => column.notNull())
    .addColumn('state', 'varchar(64)', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('deletion_at', 'bigint')
    .addColumn('policy', 'text', (column) => column.notNull())
    .addColumn('tags', 'text', (column) => column.notNull())
    .addColumn('current_material_id', 'varchar(64)', (column) => column.notNull())
    .addColumn('on_demand_rotations', 'integer', (column) => column.notNull())
    .addColumn('row_version', 'bigint', (column) => column.notNull())
    .execute()
  await schema
    .createTable('key_material')
    .addColumn('key_arn', 'varchar(255)', (column) =>
      column.notNull().references('kms_key.arn').onDelete('cascade'),
    )
    .addColumn('material_id', 'varchar(64)', (column) => column.notNull())
    .addColumn('region', 'varchar(64)', (column) => column.notNull())
    .addColumn('scheme', 'varchar(64)', (column) => column.notNull())
    .addColumn('objects', 'text', (column) => column.notNull())
    .addColumn('proof', 'text', (column) => column.notNull())
    .addColumn('lineage', 'bigint', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('encryptions_reserved', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('key_material_pk', ['key_arn', 'material_id'])
    .addUniqueConstraint('key_material_region', ['region', 'material_id'])
    .execute()
  await schema
    .createTable('intent')
    .addColumn('intent_id', 'varchar(36)', (column) => column.primaryKey())
    .addColumn('payload', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute()
  await schema
    .createTable('tombstone')
    .addColumn('arn', 'varchar(255)', (column) => column.primaryKey())
    .addColumn('account_id', 'varchar(12)', (column) => column.notNull())
    .addColumn('region', 'varchar(64)', (column) => column.notNull())
    .addColumn('key_id', 'varchar(64)', (column) => column.notNull())
    .addColumn('destroyed_at', 'bigint', (column) => column.notNull())
    .addColumn('material_ids', 'text', (column) => column.notNull())
    .execute()
  await schema
    .createTable('principal')
    .addColumn('access_key_id', 'varchar(128)', (column) => column.primaryKey())
    .addColumn('account_id', 'varchar(12)', (column) => column.notNull())
    .addColumn('arn', 'varchar(2048)', (column) => column.notNull())
    .addColumn('user_name', 'varchar(128)', (column) => column.notNull())
    .addColumn('user_id', 'varchar(128)', (column) => column.notNull())
    .addColumn('sealed_secret', 'text', (column) => column.notNull())
    .addColumn('identity_policies', 'text', (column) => column.notNull())
    .execute()
  await schema
    .createTable('audit_outbox')
    .addColumn('event_id', 'varchar(36)', (column) => column.primaryKey())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('line', 'text', (column) => column.notNull())
    .execute()
}

async function rotationAndLastUse(db: Kysely<never>): Promise<void> {
  const { schema } = db
  await schema.alterTable('kms_key').addColumn('rotation_period_days', 'integer').execute()
  await schema.alterTable('kms_key').addColumn('next_rotation_at', 'bigint').execute()
  await schema.alterTable('key_material').addColumn('rotation_type', 'varchar(64)').execute()
  await schema.alterTable('key_material').addColumn('rotated_at', 'bigint').execute()
  // Until now every rotation was asked for, but for those at the encryption limit, which nobody has reached yet.
  await sql`
    update key_material set rotation_type = 'ON_DEMAND', rotated_at = created_at
    where lineage > (
      select min(elder.lineage) from key_material elder where elder.key_arn = key_material.key_arn
    )`.execute(db)
  await schema
    .createTable('key_last_use')
    .addColumn('key_arn', 'varchar(255)', (column) =>
      column.primaryKey().references('kms_key.arn').onDelete('cascade'),
    )
    .addColumn('operation', 'varchar(64)', (column) => column.notNull())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('event_id', 'varchar(36)')
    .addColumn('request_id', 'varchar(36)', (column) => column.notNull())
    .execute()
  await schema
    .alterTable('instance')
    .addColumn('uses_recorded_since', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute()
  // A new database has no instance row yet: there the uses of a key are recorded from its birth on.
  await sql`update instance set uses_recorded_since = ${Date.now()}`.execute(db)
}

async function aliases({ schema }: Kysely<never>): Promise<void> {
  await schema
    .createTable('kms_alias')
    .addColumn('arn', 'varchar(512)', (column) => column.primaryKey())
    .addColumn('alias_name', 'varchar(256)', (column) => column.notNull())
    .addColumn('account_id', 'varchar(12)', (column) => column.notNull())
    .addColumn('region', 'varchar(64)', (column) => column.notNull())
    .addColumn('target_key_arn', 'varchar(255)', (column) =>
      column.notNull().references('kms_key.arn').onDelete('cascade'),
    )
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('last_updated_at', 'bigint', (column) => column.notNull())
    .execute()
  await schema.createIndex('kms_alias_target').on('kms_alias').column('target_key_arn').execute()
}

/** What several daemons on one database tell each other. */
async function fleet({ schema }: Kysely<never>): Promise<void> {
  await schema
    .createTable('change_log')
    .addColumn('version', 'bigint', (column) => column.primaryKey())
    .addColumn('changes', 'text', (column) => column.notNull())
    .execute()
  await schema
    .createTable('login_latch')
    .addColumn('token_serial', 'varchar(64)', (column) => column.primaryKey())
    .addColumn('latch', 'text', (column) => column.notNull())
    .execute()
  await schema
    .alterTable('instance')
    .addColumn('token_fence', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute()
  await schema
    .alterTable('audit_outbox')
    .addColumn('daemon', 'varchar(512)', (column) => column.notNull().defaultTo(''))
    .execute()
}

async function externalKeyStores({ schema }: Kysely<never>): Promise<void> {
  await schema
    .createTable('xks_store')
    .addColumn('name', 'varchar(64)', (column) => column.primaryKey())
    .addColumn('uri_path_prefix', 'varchar(128)', (column) => column.notNull().unique())
    .addColumn('regions', 'text', (column) => column.notNull())
    .addColumn('requests_per_second', 'double precision')
    .addColumn('enabled', 'integer', (column) => column.notNull())
    .addColumn('policy', 'text')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute()
  await schema
    .createTable('xks_credential')
    .addColumn('access_key_id', 'varchar(30)', (column) => column.primaryKey())
    .addColumn('store_name', 'varchar(64)', (column) =>
      column.notNull().references('xks_store.name').onDelete('cascade'),
    )
    .addColumn('sealed_secret', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute()
  await schema
    .createTable('xks_key')
    .addColumn('key_arn', 'varchar(255)', (column) =>
      column.primaryKey().references('kms_key.arn').onDelete('cascade'),
    )
    .addColumn('store_name', 'varchar(64)', (column) => column.notNull()) // no reference: a rebuilt key waits for its store
    .addColumn('external_key_id', 'varchar(128)', (column) => column.notNull())
    .addColumn('key_usage', 'text', (column) => column.notNull())
    .addColumn('kms_key_arn', 'varchar(2048)')
    .addColumn('adopted', 'integer', (column) => column.notNull())
    .addColumn('opens_hashed_aad', 'integer', (column) => column.notNull())
    .addUniqueConstraint('xks_key_name', ['store_name', 'external_key_id'])
    .execute()
}
