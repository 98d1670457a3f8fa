import { randomUUID } from 'node:crypto'
import { CustodyError } from '../crypto/custody-error.ts'
import type { Material, MaterialOrigin } from '../crypto/key-custody.ts'
import { tokenHasAnswered } from './custody-failures.ts'
import type { Key, KeyMaterial } from './key.ts'
import type { KeyDraft, MakeIntent } from './key-storage.ts'
import type { KmsContext } from './kms-context.ts'

/** The facts of the key that new material is for. */
export type MaterialOwner = Pick<
  Key,
  'arn' | 'keyId' | 'accountId' | 'region' | 'keySpec' | 'keyUsage' | 'origin'
>

/**
 * Makes material in the token and commits it together with whatever `commit` writes: intent, make and prove, commit (ARCH-D11).
 * Whatever fails on the way, nothing that the token may hold is without a row that names it.
 */
export async function makeMaterial<T>(
  context: KmsContext,
  owner: MaterialOwner,
  purpose: MakeIntent['purpose'],
  commit: (draft: KeyDraft, made: KeyMaterial) => T,
): Promise<T> {
  const intent = await writeIntent(context, owner, purpose)
  const material = await carryOut(context, intent)
  return context.storage.change((draft) => {
    const made = keyMaterial(material, intent)
    draft.dropIntent(intent.intentId)
    return commit(draft, made)
  })
}

function writeIntent(
  { storage, custody, clock }: KmsContext,
  owner: MaterialOwner,
  purpose: MakeIntent['purpose'],
): Promise<MakeIntent> {
  const plan = custody.plan()
  const createdAt = clock.now()
  const { arn, keyId, accountId, region, keySpec, keyUsage, origin } = owner
  return storage.change((draft) => {
    const lineage = draft.nextLineage()
    const facts: MaterialOrigin = {
      keyId,
      accountId,
      region,
      keySpec,
      keyUsage,
      origin,
      lineage,
      createdAt,
    }
    const intent: MakeIntent = {
      kind: 'make',
      intentId: randomUUID(),
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

async function carryOut(context: KmsContext, intent: MakeIntent): Promise<Material> {
  try {
    return await context.custody.make(intent.plan, intent.origin)
  } catch (error) {
    if (error instanceof CustodyError && tokenHasAnswered(error)) await takeBack(context, intent)
    throw error
  }
}

/**
 * The names in the intent are ours, were chosen at random for it and never acknowledged, so their objects may go. The intent
 * goes only when the token shows none of them; else `reconcile` lists it (FM-F19, FM-F21).
 */
async function takeBack({ storage, custody, notify }: KmsContext, intent: MakeIntent) {
  try {
    await custody.destroy(intent.plan, intent.origin.lineage)
    await storage.change((draft) => draft.dropIntent(intent.intentId))
  } catch (cause) {
    notify({
      level: 'warn',
      message: `what was begun for intent ${intent.intentId} may be left in the token; see reconcile`,
      keyArn: intent.keyArn,
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
    encryptionsReserved: 0,
  }
}
