import type { Material, MaterialOrigin } from '../crypto/key-custody.ts'
import { ROTATE_ENCRYPTIONS } from './encryption-budget.ts'
import { type KeyMaterial, planOf } from './key.ts'
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
  /** ARNs of keys that storage did not know, now Enabled under the default key policy. */
  readonly keys: readonly string[]
  /** Materials that storage did not know. */
  readonly materials: readonly string[]
  /** Materials that were left alone: their key is destroyed, or of a kind that this version does not know. */
  readonly skipped: readonly string[]
}

/**
 * Writes what the token's records say and storage does not know (FM-F29). What storage knows stays as it is; the youngest
 * material of a key becomes its current one. `intents` are the open ones: adopted material is no longer in question.
 */
export function rebuildKeys(
  draft: KeyDraft,
  records: readonly MaterialRecord[],
  intents: readonly Intent[],
): RebuildReport {
  const report = { keys: [] as string[], materials: [] as string[], skipped: [] as string[] }
  for (const record of records.toSorted((a, b) => a.origin.lineage - b.origin.lineage)) {
    const { materialId } = record.material
    const arn = arnOf(record.origin)
    if (draft.findMaterial(record.origin.region, materialId)) continue
    if (!isRebuildable(record.origin) || draft.findTombstone(arn)) {
      report.skipped.push(materialId)
      continue
    }
    if (!draft.findKey(arn)) report.keys.push(arn)
    adopt(draft, arn, record)
    report.materials.push(materialId)
    for (const intent of intents)
      if (intent.kind === 'make' && intent.plan.materialId === materialId)
        draft.dropIntent(intent.intentId)
  }
  return report
}

function adopt(draft: KeyDraft, arn: string, { material, origin }: MaterialRecord): void {
  const { keyId, accountId, region, lineage, createdAt } = origin
  const adopted: KeyMaterial = {
    keyArn: arn,
    region,
    material: { ...planOf(material), proof: material.proof },
    lineage,
    createdAt,
    // The token does not tell why a key was rotated, only when.
    rotation: draft.findKey(arn) && { type: 'ON_DEMAND', at: createdAt },
    // ARCH-D7: nobody knows how many there were, but never more than up to here; the key rotates by itself at its next use.
    encryptionsReserved: ROTATE_ENCRYPTIONS,
  }
  const known = draft.findKey(arn)
  const youngest = draft.materialsOf(arn).at(-1)
  if (!known)
    draft.putKey(
      enabledKey(
        {
          arn,
          keyId,
          accountId,
          region,
          keySpec: 'SYMMETRIC_DEFAULT',
          keyUsage: 'ENCRYPT_DECRYPT',
          origin: 'AWS_KMS',
        },
        adopted,
      ),
    )
  else if (!youngest || youngest.lineage < lineage)
    draft.putKey({ ...known, currentMaterialId: material.materialId })
  draft.putMaterial(adopted)
}

function arnOf({ region, accountId, keyId }: MaterialOrigin): string {
  return keyArn(region, accountId, keyId)
}

function isRebuildable({ keySpec, keyUsage, origin }: MaterialOrigin): boolean {
  return isKeySpec(keySpec) && keyUsage === 'ENCRYPT_DECRYPT' && origin === 'AWS_KMS'
}
