import type { Key, KeyMaterial } from './key.ts'
import { keyNotFound } from './key-id.ts'
import { assertState } from './key-state.ts'
import type { KeyDraft } from './key-storage.ts'
import type { KmsContext } from './kms-context.ts'
import { KmsError } from './kms-error.ts'
import { makeMaterial } from './make-material.ts'

const MOST_ON_DEMAND_ROTATIONS = 25 // KMS-45

/** What else belongs into the transaction that makes the new material current. */
type Commit<T> = (draft: KeyDraft, rotated: Key) => T

/**
 * Makes new material and lets the key encrypt under it; the old material decrypts for ever. One rotation of a key at a time, and
 * each makes exactly one material (FM-F28).
 */
export function rotateOnDemand<T>(
  context: KmsContext,
  keyArn: string,
  commit: Commit<T>,
): Promise<T> {
  return context.sections.enter(keyArn, async () => {
    const key = context.storage.snapshot.findKey(keyArn)
    assertRotatable(key, keyArn)
    return rotate(context, key, (draft, latest) => {
      assertRotatable(latest, keyArn)
      const onDemandRotations = latest.onDemandRotations + 1
      return commit(draft, draft.putKey({ ...latest, onDemandRotations }))
    })
  })
}

/** ARCH-D7: rotates a key whose material has been used as often as it may, unless that has happened already. */
export function rotateSpentMaterial<T>(
  context: KmsContext,
  spent: KeyMaterial,
  commit: Commit<T>,
): Promise<T | undefined> {
  return context.sections.enter(spent.keyArn, async () => {
    const key = context.storage.snapshot.findKey(spent.keyArn)
    if (key?.currentMaterialId !== spent.material.materialId || key.state !== 'Enabled')
      return undefined
    return rotate(context, key, commit)
  })
}

/** KMS-26: existence, then state, then what the key allows. */
export function assertRotatable(key: Key | undefined, arn: string): asserts key is Key {
  if (!key) throw keyNotFound(arn)
  assertState(key, 'RotateKeyOnDemand')
  if (key.onDemandRotations >= MOST_ON_DEMAND_ROTATIONS)
    throw new KmsError(
      'LimitExceededException',
      `The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: ${arn}`,
    )
}

function rotate<T>(context: KmsContext, key: Key, commit: Commit<T>): Promise<T> {
  return makeMaterial(context, key, 'rotate', (draft, made) => {
    const latest = draft.findKey(key.arn)
    if (!latest) throw keyNotFound(key.arn)
    draft.putMaterial(made)
    return commit(draft, draft.putKey({ ...latest, currentMaterialId: made.material.materialId }))
  })
}
