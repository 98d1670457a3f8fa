import { agreedNow } from './heartbeat.ts'
import type { Key, KeyMaterial, RotationType } from './key.ts'
import { keyNotFound } from './key-id.ts'
import { assertState } from './key-state.ts'
import type { KeyDraft } from './key-storage.ts'
import type { KmsContext } from './kms-context.ts'
import { KmsError } from './kms-error.ts'
import { type MakingContext, makeMaterial } from './make-material.ts'
import { followingSchedule, isRotationDue } from './rotation-schedule.ts'

const MOST_ON_DEMAND_ROTATIONS = 25 // KMS-45
const CONFLICT_MS = 20 * 60 * 1000 // as AWS documents ConflictException

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
    assertRotatable(context, key, keyArn)
    const check = (latest: Key | undefined) => assertRotatable(context, latest, keyArn)
    return rotate(context, key, 'ON_DEMAND', check, (draft, latest) => {
      check(latest)
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
    const isSpent = (latest: Key | undefined): latest is Key =>
      latest?.currentMaterialId === spent.material.materialId && latest.state === 'Enabled'
    if (!isSpent(key)) return undefined
    const check = (latest: Key | undefined) => {
      if (!isSpent(latest)) throw conflict(spent.keyArn)
    }
    try {
      return await rotate(context, key, 'AUTOMATIC', check, commit)
    } catch (error) {
      if (!isSpent(context.storage.snapshot.findKey(key.arn))) return undefined // somebody was faster
      throw error
    }
  })
}

/**
 * Rotates a key whose date has come and sets the next date, in one transaction; undefined when it is not due. Of several passes
 * at once, also in several daemons, only one can move a date on: what the others made is taken back (FM-F28).
 */
export function rotateDueKey<T>(
  context: KmsContext,
  keyArn: string,
  commit: Commit<T>,
): Promise<T | undefined> {
  return context.sections.enter(keyArn, async () => {
    const key = context.storage.snapshot.findKey(keyArn)
    if (!key || !isRotationDue(key, agreedNow(context))) return undefined
    const check = (latest: Key | undefined) => {
      if (!latest || !isRotationDue(latest, agreedNow(context))) throw conflict(keyArn)
    }
    return rotate(context, key, 'AUTOMATIC', check, (draft, latest) => {
      const now = agreedNow(context)
      if (!latest.rotationSchedule || !isRotationDue(latest, now)) throw conflict(keyArn)
      const rotationSchedule = followingSchedule(latest.rotationSchedule, now)
      return commit(draft, draft.putKey({ ...latest, rotationSchedule }))
    })
  })
}

/** An operator's word: the external key encrypts under new material from now on, made by us also where the first was adopted. */
export function rotateExternalKey(
  context: MakingContext,
  key: Key,
  record: (draft: KeyDraft, rotated: Key) => void = () => undefined,
): Promise<Key> {
  return rotate(
    context,
    key,
    'ON_DEMAND',
    () => undefined,
    (draft, rotated) => {
      record(draft, rotated)
      return rotated
    },
  )
}

/** KMS-26: existence, then state, then what the key allows. */
export function assertRotatable(
  context: KmsContext,
  key: Key | undefined,
  arn: string,
): asserts key is Key {
  if (!key) throw keyNotFound(arn)
  assertState(key, 'RotateKeyOnDemand')
  if (isRotationDue(key, agreedNow(context) + CONFLICT_MS)) throw conflict(arn)
  if (key.onDemandRotations >= MOST_ON_DEMAND_ROTATIONS)
    throw new KmsError(
      'LimitExceededException',
      `The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: ${arn}`,
    )
}

function conflict(arn: string): KmsError {
  return new KmsError(
    'ConflictException',
    `An automatic rotation of ${arn} is in progress or about to begin.`,
  )
}

function rotate<T>(
  context: MakingContext,
  key: Key,
  type: RotationType,
  check: (latest: Key | undefined) => void,
  commit: Commit<T>,
): Promise<T> {
  const stillWanted = (draft: KeyDraft) => check(draft.findKey(key.arn)) // another daemon may have been faster
  return makeMaterial(context, key, 'rotate', stillWanted, (draft, made) => {
    const latest = draft.findKey(key.arn)
    if (!latest) throw keyNotFound(key.arn)
    draft.putMaterial({ ...made, rotation: { type, at: context.clock.now() } })
    return commit(draft, draft.putKey({ ...latest, currentMaterialId: made.material.materialId }))
  })
}
