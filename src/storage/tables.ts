/** The rows of the database. Times are epoch milliseconds; lists and records are JSON in text columns. */
export interface Tables {
  instance: InstanceRow
  token_anchor: { token_serial: string; anchors: string }
  kms_key: KeyRow
  key_material: MaterialRow
  intent: { intent_id: string; payload: string; created_at: number }
  tombstone: TombstoneRow
  principal: PrincipalRow
  audit_outbox: { event_id: string; at: number; line: string }
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
  row_version: number
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
