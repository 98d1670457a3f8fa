import type { Material, MaterialOrigin } from '../crypto/key-custody.ts'
import { LAST_ENCRYPTION, ROTATE_ENCRYPTIONS } from './encryption-budget.ts'
import type { ExternalFacts } from '../crypto/external-facts.ts'
import { externalKeyArn } from './external-keys.ts'
import { EXTERNAL_SCOPE, type Key, type KeyMaterial, planOf } from './key.ts'
import { keyArn } from './key-id.ts'
import { isKeySpec } from './key-spec.ts'
import type { Intent, KeyDraft } from './key-storage.ts'
import { enabledKey } from './new-key.ts'

/** One authentic record of the token: a material and the key that it belongs to. */
export interface MaterialRecord {
  readonly material: Material
  readonly origin: MaterialOrigin
}

export interface RebuildReport {
  /** ARNs of keys that storage did not know, now Enabled under the default key policy, or Disabled where they are external. */
  readonly keys: readonly string[]
  /** Materials that storage did not know. */
  readonly materials: readonly string[]
  /** Materials that were left alone: their key is destroyed, or of a kind that this version does not know. */
  readonly skipped: readonly string[]
}

/**
 * Writes what the token's records say and storage does not know (FM-F29). What storage knows stays as it is, but for external keys
 * with younger materials; the youngest material of a key becomes its current one. `intents` are the open ones: adopted material is no longer in question.
 */
export function rebuildKeys(
  draft: KeyDraft,
  records: readonly MaterialRecord[],
  intents: readonly Intent[],
  databaseIsOlder: boolean,
): RebuildReport {
  const report = { keys: [] as string[], materials: [] as string[], skipped: [] as string[] }
  for (const record of records.toSorted((a, b) => a.origin.lineage - b.origin.lineage)) {
    const { materialId } = record.material
    const arn = arnOf(record.origin)
    if (draft.findMaterial(record.origin.region, materialId)) continue
    if (!isRebuildable(draft, arn, record.origin) || draft.findTombstone(arn)) {
      report.skipped.push(materialId)
      continue
    }
    if (!draft.findKey(arn)) report.keys.push(arn)
    adopt(draft, arn, record, databaseIsOlder)
    report.materials.push(materialId)
    for (const intent of intents)
      if (intent.kind === 'make' && intent.plan.materialId === materialId)
        draft.dropIntent(intent.intentId)
  }
  return report
}

function adopt(
  draft: KeyDraft,
  arn: string,
  record: MaterialRecord,
  databaseIsOlder: boolean,
): void {
  const { material, origin } = record
  const { region, lineage, createdAt } = origin
  const known = draft.findKey(arn)
  const adopted: KeyMaterial = {
    keyArn: arn,
    region,
    material: { ...planOf(material), proof: material.proof },
    lineage,
    createdAt,
    // The token does not tell why a key was rotated, only when.
    rotation: known && { type: 'ON_DEMAND', at: createdAt },
    encryptionsReserved: encryptionsSoFar(origin),
  }
  const youngest = draft.materialsOf(arn).at(-1)
  if (!known) draft.putKey(newKey(arn, origin, adopted))
  else if (!youngest || youngest.lineage < lineage) {
    // Of a database that is not older only a making that a crash cut off comes here: its pins are younger than any record.
    const key = databaseIsOlder ? asRecorded(known, origin) : known
    draft.putKey({ ...key, currentMaterialId: material.materialId })
  }
  draft.putMaterial(adopted)
}

/**
 * XKS Z-05: a record tells the pin of the time when its material was made, so the youngest one tells most. One that tells of no pin
 * takes none off: a guard that is there too long is noticed, one that is missing is not.
 */
function asRecorded(known: Key, { external }: MaterialOrigin): Key {
  if (!known.external) return known
  const kmsKeyArn = external?.kmsKeyArn
  const facts = { ...known.external, ...(kmsKeyArn !== undefined && { kmsKeyArn }) }
  return { ...known, external: facts, state: 'Disabled' }
}

/**
 * For a database that is older than the token: pins, states, policies of stores and removed credentials may be younger than what it
 * knows of them, and no token tells. So its external keys wait for an operator, as added ones do (XKS Z-05). Answers their ARNs.
 */
export function disableExternalKeys(draft: KeyDraft, keys: Iterable<Key>): readonly string[] {
  const disabled: string[] = []
  for (const { arn } of keys) {
    const key = draft.findKey(arn)
    if (!key?.external || key.state !== 'Enabled') continue
    draft.putKey({ ...key, state: 'Disabled' })
    disabled.push(arn)
  }
  return disabled
}

/**
 * ARCH-D7: nobody knows how many there were. A key of ours rotates by itself at its next use, long before the end; an adopted one
 * does not, whichever of its materials is current, so it encrypts no more until somebody rotates it.
 */
function encryptionsSoFar({ external }: MaterialOrigin): number {
  return external?.adopted === true ? LAST_ENCRYPTION : ROTATE_ENCRYPTIONS
}

/**
 * An external key is reached again when there is a store of the name that its record tells, which an operator makes or declares,
 * with new credentials, because those lie in no token; and when it is enabled: nor does the token tell whether it was disabled or
 * pinned since its youngest material, or what the policy of its store allowed (XKS Z-05, XKS Z-06).
 */
function newKey(arn: string, origin: MaterialOrigin, current: KeyMaterial): Key {
  const { keyId, accountId, region, external } = origin
  const owner = {
    arn,
    keyId,
    accountId,
    region,
    keySpec: 'SYMMETRIC_DEFAULT',
    keyUsage: 'ENCRYPT_DECRYPT',
  } as const
  if (!external) return enabledKey({ ...owner, origin: 'AWS_KMS' }, current)
  const key = enabledKey({ ...owner, origin: 'XKS', external }, current, { policy: '' })
  return { ...key, state: 'Disabled' }
}

function arnOf({ region, accountId, keyId, origin }: MaterialOrigin): string {
  return origin === 'XKS' ? externalKeyArn(keyId) : keyArn(region, accountId, keyId)
}

function isRebuildable(draft: KeyDraft, arn: string, origin: MaterialOrigin): boolean {
  if (!isKeySpec(origin.keySpec) || origin.keyUsage !== 'ENCRYPT_DECRYPT') return false
  return origin.origin === 'XKS'
    ? isExternal(origin) && mayBear(draft, arn, origin.external)
    : origin.origin === 'AWS_KMS' && origin.external === undefined
}

/** A record says what a version of ours wrote, though maybe not this one. */
function isExternal(
  origin: MaterialOrigin,
): origin is MaterialOrigin & { readonly external: ExternalFacts } {
  const { accountId, region, external } = origin
  return (
    accountId === EXTERNAL_SCOPE.accountId &&
    region === EXTERNAL_SCOPE.region &&
    typeof external?.storeName === 'string' &&
    typeof external.externalKeyId === 'string' &&
    Array.isArray(external.keyUsage)
  )
}

/** XKS U-05: one name stands for one key. */
function mayBear(draft: KeyDraft, arn: string, { storeName, externalKeyId }: ExternalFacts) {
  const bearer = draft.findExternalKey(storeName, externalKeyId)
  return bearer === undefined || bearer.arn === arn
}
