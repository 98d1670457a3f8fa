import type { Alias } from '../kms/alias.ts'
import type { Key, KeyMaterial, LastUse, Tombstone } from '../kms/key.ts'
import type { Intent } from '../kms/key-storage.ts'
import type { PrincipalRecord, XksCredentialRecord, XksStoreRecord } from './storage.ts'
import type {
  AliasRow,
  KeyRow,
  LastUseRow,
  MaterialRow,
  PrincipalRow,
  TombstoneRow,
  XksCredentialRow,
  XksKeyRow,
  XksStoreRow,
} from './tables.ts'

type ExternalFacts = NonNullable<Key['external']>

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
    rotation_period_days: key.rotationSchedule?.periodDays ?? null,
    next_rotation_at: key.rotationSchedule?.nextAt ?? null,
    row_version: key.rowVersion,
  }
}

export function keyOf(row: KeyRow, external?: ExternalFacts): Key {
  return {
    arn: row.arn,
    keyId: row.key_id,
    accountId: row.account_id,
    region: row.region,
    description: row.description,
    keySpec: row.key_spec as Key['keySpec'],
    keyUsage: row.key_usage as Key['keyUsage'],
    origin: row.origin as Key['origin'],
    ...(external && { external }),
    state: row.state as Key['state'],
    createdAt: row.created_at,
    deletionAt: row.deletion_at ?? undefined,
    policy: row.policy,
    tags: JSON.parse(row.tags),
    currentMaterialId: row.current_material_id,
    onDemandRotations: row.on_demand_rotations,
    rotationSchedule: scheduleOf(row),
    rowVersion: row.row_version,
  }
}

export function aliasRow(alias: Alias): AliasRow {
  return {
    arn: alias.arn,
    alias_name: alias.aliasName,
    account_id: alias.accountId,
    region: alias.region,
    target_key_arn: alias.targetKeyArn,
    created_at: alias.createdAt,
    last_updated_at: alias.lastUpdatedAt,
  }
}

export function aliasOf(row: AliasRow): Alias {
  return {
    arn: row.arn,
    aliasName: row.alias_name,
    accountId: row.account_id,
    region: row.region,
    targetKeyArn: row.target_key_arn,
    createdAt: row.created_at,
    lastUpdatedAt: row.last_updated_at,
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
    rotation_type: facts.rotation?.type ?? null,
    rotated_at: facts.rotation?.at ?? null,
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
    rotation: rotationOf(row),
  }
}

function scheduleOf(row: KeyRow): Key['rotationSchedule'] {
  const { rotation_period_days: periodDays, next_rotation_at: nextAt } = row
  return periodDays === null || nextAt === null ? undefined : { periodDays, nextAt }
}

function rotationOf({ rotation_type: type, rotated_at: at }: MaterialRow): KeyMaterial['rotation'] {
  if (type === null || at === null) return undefined
  return { type: type as NonNullable<KeyMaterial['rotation']>['type'], at }
}

export function lastUseRow(keyArn: string, use: LastUse): LastUseRow {
  return {
    key_arn: keyArn,
    operation: use.operation,
    at: use.at,
    event_id: use.eventId ?? null,
    request_id: use.requestId,
  }
}

export function lastUseOf(row: LastUseRow): LastUse {
  return {
    operation: row.operation as LastUse['operation'],
    at: row.at,
    eventId: row.event_id ?? undefined,
    requestId: row.request_id,
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

export function xksStoreRow(store: XksStoreRecord): XksStoreRow {
  return {
    name: store.name,
    uri_path_prefix: store.uriPathPrefix,
    regions: JSON.stringify(store.regions),
    requests_per_second: store.requestsPerSecond ?? null,
    enabled: Number(store.enabled),
    policy: store.policy ?? null,
    created_at: store.createdAt,
  }
}

export function xksStoreOf(row: XksStoreRow): XksStoreRecord {
  return {
    name: row.name,
    uriPathPrefix: row.uri_path_prefix,
    regions: JSON.parse(row.regions),
    requestsPerSecond: row.requests_per_second ?? undefined,
    enabled: row.enabled === 1,
    policy: row.policy ?? undefined,
    createdAt: row.created_at,
  }
}

export function xksCredentialRow(credential: XksCredentialRecord): XksCredentialRow {
  return {
    access_key_id: credential.accessKeyId,
    store_name: credential.storeName,
    sealed_secret: credential.sealedSecret,
    created_at: credential.createdAt,
  }
}

export function xksCredentialOf(row: XksCredentialRow): XksCredentialRecord {
  return {
    accessKeyId: row.access_key_id,
    storeName: row.store_name,
    sealedSecret: row.sealed_secret,
    createdAt: row.created_at,
  }
}

export function xksKeyRow(keyArn: string, facts: ExternalFacts): XksKeyRow {
  return {
    key_arn: keyArn,
    store_name: facts.storeName,
    external_key_id: facts.externalKeyId,
    key_usage: JSON.stringify(facts.keyUsage),
    kms_key_arn: facts.kmsKeyArn ?? null,
    adopted: Number(facts.adopted),
    opens_hashed_aad: Number(facts.opensHashedAad),
  }
}

export function externalFactsOf(row: XksKeyRow): ExternalFacts {
  return {
    storeName: row.store_name,
    externalKeyId: row.external_key_id,
    keyUsage: JSON.parse(row.key_usage),
    ...(row.kms_key_arn !== null && { kmsKeyArn: row.kms_key_arn }),
    adopted: row.adopted === 1,
    opensHashedAad: row.opens_hashed_aad === 1,
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
