import type { Key, KeyMaterial, Tombstone } from '../kms/key.ts'
import type { Intent } from '../kms/key-storage.ts'
import type { PrincipalRecord } from './storage.ts'
import type { KeyRow, MaterialRow, PrincipalRow, TombstoneRow } from './tables.ts'

/** Records as rows and back. What a row holds was written by us: names of states, specs and schemes are taken at their word. */

export function keyRow(key: Key): KeyRow {
  return {
    arn: key.arn,
    key_id: key.keyId,
    account_id: key.accountId,
    region: key.region,
    description: key.description,
    key_spec: key.keySpec,
    key_usage: key.keyUsage,
    origin: key.origin,
    state: key.state,
    created_at: key.createdAt,
    deletion_at: key.deletionAt ?? null,
    policy: key.policy,
    tags: JSON.stringify(key.tags),
    current_material_id: key.currentMaterialId,
    on_demand_rotations: key.onDemandRotations,
    row_version: key.rowVersion,
  }
}

export function keyOf(row: KeyRow): Key {
  return {
    arn: row.arn,
    keyId: row.key_id,
    accountId: row.account_id,
    region: row.region,
    description: row.description,
    keySpec: row.key_spec as Key['keySpec'],
    keyUsage: row.key_usage as Key['keyUsage'],
    origin: row.origin as Key['origin'],
    state: row.state as Key['state'],
    createdAt: row.created_at,
    deletionAt: row.deletion_at ?? undefined,
    policy: row.policy,
    tags: JSON.parse(row.tags),
    currentMaterialId: row.current_material_id,
    onDemandRotations: row.on_demand_rotations,
    rowVersion: row.row_version,
  }
}

export function materialRow({ material, ...facts }: KeyMaterial): MaterialRow {
  return {
    key_arn: facts.keyArn,
    material_id: material.materialId,
    region: facts.region,
    scheme: material.scheme,
    objects: JSON.stringify(material.objects),
    proof: material.proof.toString('base64'),
    lineage: facts.lineage,
    created_at: facts.createdAt,
    encryptions_reserved: facts.encryptionsReserved,
  }
}

export function materialOf(row: MaterialRow): KeyMaterial {
  return {
    keyArn: row.key_arn,
    region: row.region,
    material: {
      materialId: row.material_id,
      scheme: row.scheme as KeyMaterial['material']['scheme'],
      objects: JSON.parse(row.objects),
      proof: Buffer.from(row.proof, 'base64'),
    },
    lineage: row.lineage,
    createdAt: row.created_at,
    encryptionsReserved: row.encryptions_reserved,
  }
}

export function tombstoneRow(tombstone: Tombstone): TombstoneRow {
  return {
    arn: tombstone.arn,
    account_id: tombstone.accountId,
    region: tombstone.region,
    key_id: tombstone.keyId,
    destroyed_at: tombstone.destroyedAt,
    material_ids: JSON.stringify(tombstone.materialIds),
  }
}

export function tombstoneOf(row: TombstoneRow): Tombstone {
  return {
    arn: row.arn,
    accountId: row.account_id,
    region: row.region,
    keyId: row.key_id,
    destroyedAt: row.destroyed_at,
    materialIds: JSON.parse(row.material_ids),
  }
}

export function principalRow(principal: PrincipalRecord): PrincipalRow {
  return {
    access_key_id: principal.accessKeyId,
    account_id: principal.accountId,
    arn: principal.arn,
    user_name: principal.userName,
    user_id: principal.userId,
    sealed_secret: principal.sealedSecret,
    identity_policies: JSON.stringify(principal.identityPolicies),
  }
}

export function principalOf(row: PrincipalRow): PrincipalRecord {
  return {
    accessKeyId: row.access_key_id,
    accountId: row.account_id,
    arn: row.arn,
    userName: row.user_name,
    userId: row.user_id,
    sealedSecret: row.sealed_secret,
    identityPolicies: JSON.parse(row.identity_policies),
  }
}

export function intentRow(intent: Intent) {
  return {
    intent_id: intent.intentId,
    payload: JSON.stringify(intent),
    created_at: intent.createdAt,
  }
}

export function intentOf(row: { readonly payload: string }): Intent {
  return JSON.parse(row.payload)
}
