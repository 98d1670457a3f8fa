import type { Generated } from 'kysely'

/** The rows of the database. Times are epoch milliseconds; lists and records are JSON in text columns. */
export interface Tables {
  instance: InstanceRow
  token_anchor: { token_serial: string; anchors: string }
  kms_key: KeyRow
  key_material: MaterialRow
  kms_alias: AliasRow
  intent: { intent_id: string; payload: string; created_at: number }
  tombstone: TombstoneRow
  principal: PrincipalRow
  key_last_use: LastUseRow
  /** Of the daemon that made the change and delivers its record. */
  audit_outbox: { event_id: string; at: number; line: string; daemon: Generated<string> }
  /** PostgreSQL only: what each version changed, for the other daemons. The oldest versions are removed. */
  change_log: { version: number; changes: string }
  xks_store: XksStoreRow
  xks_credential: XksCredentialRow
  xks_key: XksKeyRow
  login_latch: { token_serial: string; latch: string }
}

/** Always exactly one row, of id 1. */
export interface InstanceRow {
  id: number
  instance_id: string
  version: number
  lineage: number
  heartbeat: number
  /** Base64, as `proof` below: one type of column for bytes that every engine has. */
  marker_secret: string
  uses_recorded_since: number
  /** Counted on by whoever gets the right to write to the token. */
  token_fence: Generated<number>
}

export interface KeyRow {
  arn: string
  key_id: string
  account_id: string
  region: string
  description: string
  key_spec: string
  key_usage: string
  origin: string
  state: string
  created_at: number
  deletion_at: number | null
  policy: string
  tags: string
  current_material_id: string
  on_demand_rotations: number
  rotation_period_days: number | null
  next_rotation_at: number | null
  row_version: number
}

export interface AliasRow {
  arn: string
  alias_name: string
  account_id: string
  region: string
  target_key_arn: string
  created_at: number
  last_updated_at: number
}

export interface MaterialRow {
  key_arn: string
  material_id: string
  region: string
  scheme: string
  objects: string
  proof: string
  lineage: number
  created_at: number
  encryptions_reserved: number
  rotation_type: string | null
  rotated_at: number | null
}

export interface LastUseRow {
  key_arn: string
  operation: string
  at: number
  event_id: string | null
  request_id: string
}

export interface TombstoneRow {
  arn: string
  account_id: string
  region: string
  key_id: string
  destroyed_at: number
  material_ids: string
}

export interface PrincipalRow {
  access_key_id: string
  account_id: string
  arn: string
  user_name: string
  user_id: string
  sealed_secret: string
  identity_policies: string
}

export interface XksStoreRow {
  name: string
  uri_path_prefix: string
  regions: string
  requests_per_second: number | null
  enabled: number
  policy: string | null
  created_at: number
}

export interface XksCredentialRow {
  access_key_id: string
  store_name: string
  sealed_secret: string
  created_at: number
}

/** What an external key has beside its row in kms_key; the store may be absent. */
export interface XksKeyRow {
  key_arn: string
  store_name: string
  external_key_id: string
  key_usage: string
  kms_key_arn: string | null
  adopted: number
  opens_hashed_aad: number
}
