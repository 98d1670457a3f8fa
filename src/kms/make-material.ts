import { randomUUID } from 'node:crypto'
import { CustodyError } from '../crypto/custody-error.ts'
import type { Material, MaterialOrigin } from '../crypto/key-custody.ts'
import { tokenHasAnswered } from './custody-failures.ts'
import type { Key, KeyMaterial } from './key.ts'
import type { KeyDraft, MakeIntent } from './key-storage.ts'
import type { KmsContext } from './kms-context.ts'
import { KmsError } from './kms-error.ts'
import type { TokenWriteLock } from './token-write-lock.ts'

/** The facts of the key that new material is for. */
export type MaterialOwner = Pick<
  Key,
  'arn' | 'keyId' | 'accountId' | 'region' | 'keySpec' | 'keyUsage' | 'origin' | 'external'
>

/** What making material works with. */
export type MakingContext = Pick<KmsContext, 'storage' | 'custody' | 'clock' | 'notify'>

/**
 * Makes material in the token and commits it together with whatever `commit` writes: intent, make and prove, commit (ARCH-D11).
 * Nobody else writes to the token meanwhile. `check` sees the latest state before anything is made and throws when nothing is to
 * be made any more. Whatever fails on the way, nothing that the token may hold is without a row that names it; what `commit`
 * refuses by throwing is taken back.
 */
export async function makeMaterial<T>(
  context: MakingContext,
  owner: MaterialOwner,
  purpose: MakeIntent['purpose'],
  check: (draft: KeyDraft) => void,
  commit: (draft: KeyDraft, made: KeyMaterial) => T,
): Promise<T> {
  const intentId = randomUUID()
  try {
    return await context.storage.withTokenWriteLock(async (lock) => {
      const intent = await writeIntent(context, { intentId, owner, purpose }, check)
      const material = await carryOut(context, lock, intent)
      return await commitMaterial(context, lock, material, intent, commit)
    })
  } catch (error) {
    if (error instanceof KmsError && error.code === 'DependencyTimeoutException')
      await giveUp(context, intentId)
    throw error
  }
}

/** Commits what was made for an intent; what `commit` refuses by throwing is taken back. */
export async function commitMaterial<T>(
  context: MakingContext,
  lock: TokenWriteLock,
  material: Material,
  intent: MakeIntent,
  commit: (draft: KeyDraft, made: KeyMaterial) => T,
): Promise<T> {
  const made = keyMaterial(material, intent)
  let refused = false
  const write = (draft: KeyDraft): T => {
    const isNew = draft.findMaterial(made.region, made.material.materialId) === undefined
    draft.dropIntent(intent.intentId)
    try {
      return commit(draft, made)
    } catch (error) {
      refused = isNew // never what an attempt before this one may have committed
      throw error
    }
  }
  try {
    return await context.storage.change(write, { lock })
  } catch (error) {
    if (refused) await takeBack(context, lock, intent)
    throw error
  }
}

function writeIntent(
  { storage, custody, clock }: MakingContext,
  { intentId, owner, purpose }: Pick<MakeIntent, 'intentId' | 'purpose'> & { owner: MaterialOwner },
  check: (draft: KeyDraft) => void,
): Promise<MakeIntent> {
  const plan = custody.plan()
  const createdAt = clock.now()
  const { arn, keyId, accountId, region, keySpec, keyUsage, origin, external } = owner
  return storage.change((draft) => {
    check(draft)
    const lineage = draft.nextLineage()
    const facts: MaterialOrigin = {
      keyId,
      accountId,
      region,
      keySpec,
      keyUsage,
      origin,
      ...(external && { external }),
      lineage,
      createdAt,
    }
    const intent: MakeIntent = {
      kind: 'make',
      intentId,
      keyArn: arn,
      purpose,
      plan,
      origin: facts,
      createdAt,
    }
    draft.putIntent(intent)
    return intent
  })
}

async function carryOut(
  context: MakingContext,
  lock: TokenWriteLock,
  intent: MakeIntent,
): Promise<Material> {
  try {
    return await context.custody.make(intent.plan, intent.origin, lock)
  } catch (error) {
    if (error instanceof CustodyError && tokenHasAnswered(error))
      await takeBack(context, lock, intent)
    throw error
  }
}

/**
 * The names in the intent are ours, were chosen at random for it and never acknowledged, so their objects may go. The intent
 * goes only when the token shows none of them; else `reconcile` lists it (FM-F19, FM-F21).
 */
export async function takeBack(
  { storage, custody, notify }: MakingContext,
  lock: TokenWriteLock,
  intent: MakeIntent,
): Promise<void> {
  try {
    await custody.destroy(intent.plan, intent.origin.lineage, lock)
    await storage.change((draft) => draft.dropIntent(intent.intentId), { lock })
  } catch (cause) {
    notify({
      level: 'warn',
      message: `what was begun for intent ${intent.intentId} may be left in the token; see reconcile`,
      keyArn: intent.keyArn,
      cause,
    })
  }
}

/**
 * FM-F32, FM-F47: storage went away, or this process was stopped and the token taken over. What became of the last transaction
 * shows under a new lock: an intent that is still open was not committed, so what it made is nobody's.
 */
async function giveUp(context: MakingContext, intentId: string): Promise<void> {
  const { storage, notify } = context
  try {
    await storage.withTokenWriteLock(async (lock) => {
      const open = storage.snapshot.intents().find((intent) => intent.intentId === intentId)
      if (open?.kind === 'make') await takeBack(context, lock, open)
    })
  } catch (cause) {
    notify({
      level: 'warn',
      message: `intent ${intentId} may have stayed open; see reconcile`,
      cause,
    })
  }
}

function keyMaterial(material: Material, { keyArn, origin }: MakeIntent): KeyMaterial {
  return {
    keyArn,
    region: origin.region,
    material,
    lineage: origin.lineage,
    createdAt: origin.createdAt,
    rotation: undefined,
    encryptionsReserved: 0,
  }
}
