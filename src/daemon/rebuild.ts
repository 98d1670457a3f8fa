import { disableExternalKeys, type MaterialRecord, rebuildKeys } from '../kms/rebuild-keys.ts'
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
  /** ARNs of keys that storage did not know. They are Enabled under the default key policy; external keys are Disabled. */
  readonly keysAdded: readonly string[]
  /** ARNs of external keys of an older database, Disabled now: it may know nothing of a later pin. */
  readonly keysDisabled: readonly string[]
  readonly materialsAdded: number
  /** KeyMaterialIds that were left alone: their key is destroyed, or of a kind that this version does not know. */
  readonly materialsSkipped: readonly string[]
  /** Labels of records whose MAC does not fit: nothing was taken from them. */
  readonly refusedRecords: readonly string[]
  readonly administratorRestored: boolean
}

/**
 * Puts into storage what the token's authentic records tell and storage lacks (FM-F29, FM-F30). Rows that exist stay as they are,
 * but for external keys; nothing in the token changes.
 */
export async function rebuild(installation: Installation): Promise<RebuildReport> {
  const token = await connectWithAnchors(installation)
  // Nothing is being made meanwhile whose record is there already and whose key is not.
  return await installation.storage.withTokenWriteLock(() => rebuildFrom(token, installation))
}

async function rebuildFrom(
  token: TokenConnection,
  installation: Installation,
): Promise<RebuildReport> {
  const { storage, administration } = installation
  const list = await token.custody.list()
  const { owner } = list
  if (!owner)
    throw new ConfigError(
      'token',
      `the token ${token.serial} shows no owner record; run: hsm-bridge init`,
    )
  const records = list.records.flatMap(readRecord)
  const newest = newestLineage(list)
  const restore = (draft: StorageDraft) => {
    const { snapshot } = storage
    const isOlder = snapshot.lineage < newest
    const lineage = Math.max(newest, snapshot.lineage)
    draft.adoptInstance(owner.instanceId, lineage)
    const disabled = isOlder ? disableExternalKeys(draft, snapshot.allKeys()) : []
    return { ...rebuildKeys(draft, records, snapshot.intents(), isOlder), disabled, lineage }
  }
  const { keys, materials, skipped, disabled, lineage } = await administration.recorded((note) =>
    storage.change(
      (draft) => {
        const restored = restore(draft)
        const { keys: keysAdded, disabled: keysDisabled, materials: materialsAdded } = restored
        const parameters = { tokenSerial: token.serial, keysAdded, keysDisabled, materialsAdded }
        note(draft, { eventName: 'Rebuild', parameters })
        return restored
      },
      { evenReadOnly: true },
    ),
  )
  return {
    tokenSerial: token.serial,
    instanceId: owner.instanceId,
    lineage,
    keysAdded: keys,
    keysDisabled: disabled,
    materialsAdded: materials.length,
    materialsSkipped: skipped,
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

/** Only what the record key has signed is believed. */
function readRecord({ authentic, kind, material, origin }: ListedRecord): MaterialRecord[] {
  if (!authentic || kind !== 'material' || !material || !origin) return []
  return [{ material: materialFromJson(material), origin }]
}
