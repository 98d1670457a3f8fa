import { ROTATE_ENCRYPTIONS } from '../kms/encryption-budget.ts'
import { keyArn } from '../kms/key-id.ts'
import type { KeyMaterial } from '../kms/key.ts'
import type { KeySpec } from '../kms/key-spec.ts'
import { enabledKey } from '../kms/new-key.ts'
import type { StorageDraft } from '../storage/storage.ts'
import { type ListedRecord, materialFromJson } from '../token/lane-protocol.ts'
import { findAnchors, findAnchorsInToken, keepAnchors } from './anchors.ts'
import { ConfigError } from './config-error.ts'
import { makeAdministrator } from './initialise.ts'
import type { Installation } from './installation.ts'
import type { TokenConnection } from './token-connection.ts'
import { newestLineage } from './token-owner.ts'

export interface RebuildReport {
  readonly tokenSerial: string
  readonly instanceId: string
  readonly lineage: number
  /** ARNs of keys that storage did not know. They are Enabled under the default key policy. */
  readonly keysAdded: readonly string[]
  readonly materialsAdded: number
  /** Labels of records whose MAC does not fit: nothing was taken from them. */
  readonly refusedRecords: readonly string[]
  readonly administratorRestored: boolean
}

/**
 * Puts into storage what the token's authentic records tell and storage lacks (FM-F29, FM-F30). Rows that exist stay as they are;
 * nothing in the token changes.
 */
export async function rebuild(installation: Installation): Promise<RebuildReport> {
  const { storage } = installation
  const token = await connectWithAnchors(installation)
  const list = await token.custody.list()
  const { owner } = list
  if (!owner)
    throw new ConfigError(
      'token',
      `the token ${token.serial} shows no owner record; run: hsm-bridge init`,
    )
  const records = list.records.flatMap(readRecord)
  const lineage = Math.max(newestLineage(list), storage.snapshot.lineage)
  const keysBefore = new Set([...storage.snapshot.allKeys()].map(({ arn }) => arn))
  const added = await storage.change(
    (draft) => {
      draft.adoptInstance(owner.instanceId, lineage)
      return addRecords(draft, records)
    },
    { evenReadOnly: true },
  )
  return {
    tokenSerial: token.serial,
    instanceId: owner.instanceId,
    lineage,
    keysAdded: [...storage.snapshot.allKeys()]
      .map(({ arn }) => arn)
      .filter((arn) => !keysBefore.has(arn)),
    materialsAdded: added,
    refusedRecords: list.records.filter(({ authentic }) => !authentic).map(({ label }) => label),
    administratorRestored: await makeAdministrator(installation),
  }
}

/** A database that was lost has no anchors: the token's own records name them. */
async function connectWithAnchors(installation: Installation): Promise<TokenConnection> {
  const { storage } = installation
  const { serial } = await installation.connection()
  if (!findAnchors(storage, serial)) {
    const found = await findAnchorsInToken(() => installation.newConnection())
    if (!found) {
      throw new ConfigError(
        'token',
        `the token ${serial} shows no canary of ours; there is nothing to rebuild from`,
      )
    }
    await keepAnchors(storage, serial, found.anchors)
  }
  return await installation.token()
}

interface TokenRecord {
  readonly owner: {
    readonly arn: string
    readonly keyId: string
    readonly accountId: string
    readonly region: string
    readonly keySpec: KeySpec
    readonly keyUsage: 'ENCRYPT_DECRYPT'
    readonly origin: 'AWS_KMS'
  }
  readonly made: KeyMaterial
}

/** Only what the record key has signed is believed. */
function readRecord(record: ListedRecord): TokenRecord[] {
  const { authentic, kind, material, origin } = record
  if (!authentic || kind !== 'material' || !material || !origin) return []
  const { keyId, accountId, region, lineage, createdAt } = origin
  const arn = keyArn(region, accountId, keyId)
  return [
    {
      owner: {
        arn,
        keyId,
        accountId,
        region,
        keySpec: origin.keySpec as KeySpec, // written by us, authenticated by the token
        keyUsage: origin.keyUsage as 'ENCRYPT_DECRYPT',
        origin: origin.origin as 'AWS_KMS',
      },
      made: {
        keyArn: arn,
        region,
        material: materialFromJson(material),
        lineage,
        createdAt,
        rotation: undefined,
        // ARCH-D7: how often it encrypted, the token does not tell; never more than up to the rotation limit. So the key
        // rotates by itself at its next use.
        encryptionsReserved: ROTATE_ENCRYPTIONS,
      },
    },
  ]
}

/** Answers how many materials were added. Oldest first, so that the newest material of a key becomes its current one. */
function addRecords(draft: StorageDraft, records: readonly TokenRecord[]): number {
  let added = 0
  for (const { owner, made } of records.toSorted((a, b) => a.made.lineage - b.made.lineage)) {
    if (draft.findTombstone(owner.arn)) continue
    if (draft.findMaterial(made.region, made.material.materialId)) continue
    const key = draft.findKey(owner.arn)
    if (!key) draft.putKey(enabledKey(owner, made))
    else if (isNewest(draft, made))
      draft.putKey({ ...key, currentMaterialId: made.material.materialId })
    // Its key first: the row refers to it. The token does not tell why a key was rotated, only when.
    const rotation = key && { type: 'ON_DEMAND' as const, at: made.createdAt }
    draft.putMaterial({ ...made, rotation })
    added += 1
  }
  return added
}

function isNewest(draft: StorageDraft, made: KeyMaterial): boolean {
  return draft.materialsOf(made.keyArn).every(({ lineage }) => lineage <= made.lineage)
}
