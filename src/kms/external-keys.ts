import { randomUUID } from 'node:crypto'
import type { ExternalFacts } from '../crypto/external-facts.ts'
import { CustodyError } from '../crypto/custody-error.ts'
import type { Material, MaterialOrigin, MaterialPlan, WriteTurn } from '../crypto/key-custody.ts'
import { tokenHasAnswered } from './custody-failures.ts'
import { EXTERNAL_SCOPE, type Key, type KeyMaterial } from './key.ts'
import type { KeyDraft, MakeIntent } from './key-storage.ts'
import { KmsError } from './kms-error.ts'
import {
  commitMaterial,
  type MakingContext,
  type MaterialOwner,
  makeMaterial,
  takeBack,
} from './make-material.ts'
import { enabledKey } from './new-key.ts'
import type { TokenWriteLock } from './token-write-lock.ts'

/** What else belongs into the transaction of a change, such as its audit record (ARCH-D14). */
type RecordKey = (draft: KeyDraft, changed: Key) => void

const NOTHING: RecordKey = () => undefined

/** What storage calls an external key; AWS never hears of it. */
export function externalKeyArn(keyId: string): string {
  return `arn:hsm-bridge:xks:::key/${keyId}`
}

/** Makes an external key with fresh material in the token. Throws AlreadyExistsException when its name is taken (XKS U-05). */
export function makeExternalKey(
  context: MakingContext,
  facts: ExternalFacts,
  record = NOTHING,
): Promise<Key> {
  const owner = newOwner(facts)
  const check = (draft: KeyDraft) => assertExternalNameIsFree(draft, facts)
  return makeMaterial(context, owner, 'create', check, (draft, made) => {
    check(draft)
    const key = putExternalKey(draft, owner, made)
    record(draft, key)
    return key
  })
}

/** A key of the token that is to become an external one. */
export interface Adoption {
  readonly facts: ExternalFacts
  /** Encryptions under it before today; they count (ARCH-D7). */
  readonly encryptionsSoFar: number
  /**
   * Finds the object, proves it, tells `planned` what it is about to record, and writes that record. The object itself stays as it
   * is, whatever happens.
   */
  readonly adopt: (
    origin: MaterialOrigin,
    turn: WriteTurn,
    planned: (plan: MaterialPlan) => Promise<void>,
  ) => Promise<Material>
  readonly record?: RecordKey
}

/**
 * Makes an external key of a key object that is in the token already: intent, record, commit (ARCH-D11). Throws
 * AlreadyExistsException when the name is taken, or the object is a key of ours already: its encryptions are counted once.
 */
export function adoptExternalKey(context: MakingContext, adoption: Adoption): Promise<Key> {
  const { storage, clock } = context
  const { facts, adopt, encryptionsSoFar, record = NOTHING } = adoption
  const owner = newOwner(facts)
  const createdAt = clock.now()
  return storage.withTokenWriteLock(async (lock) => {
    const lineage = await storage.change((draft) => {
      assertExternalNameIsFree(draft, facts)
      return draft.nextLineage()
    })
    const { arn: keyArn, ...names } = owner
    const origin: MaterialOrigin = { ...names, lineage, createdAt }
    const begun: { intent?: MakeIntent } = {}
    const planned = async (plan: MaterialPlan) => {
      assertNotOurs(storage.snapshot.allMaterials(), plan)
      const intent = { kind: 'make', intentId: randomUUID(), keyArn, purpose: 'create' } as const
      begun.intent = await storage.change((draft) => {
        const whole: MakeIntent = { ...intent, plan, origin, createdAt }
        draft.putIntent(whole)
        return whole
      })
    }
    const material = await adoptOrTakeBack(context, lock, begun, () => adopt(origin, lock, planned))
    if (!begun.intent) throw new TypeError('a key was adopted without a plan')
    return commitMaterial(context, lock, material, begun.intent, (draft, made) => {
      assertExternalNameIsFree(draft, facts)
      const counted = { ...made, encryptionsReserved: encryptionsSoFar }
      const key = putExternalKey(draft, owner, counted)
      record(draft, key)
      return key
    })
  })
}

async function adoptOrTakeBack(
  context: MakingContext,
  lock: TokenWriteLock,
  begun: { readonly intent?: MakeIntent },
  adopt: () => Promise<Material>,
): Promise<Material> {
  try {
    return await adopt()
  } catch (error) {
    if (begun.intent && error instanceof CustodyError && tokenHasAnswered(error))
      await takeBack(context, lock, begun.intent)
    throw error
  }
}

/** Answers the key as it is now; one that is in that state already stays as it is. */
export function setExternalKeyState(
  context: Pick<MakingContext, 'storage'>,
  arn: string,
  state: 'Enabled' | 'Disabled',
  record = NOTHING,
): Promise<Key> {
  return changeExternalKey(context, arn, record, (key) =>
    key.state === state ? undefined : { ...key, state },
  )
}

/** From now on no other KMS key may use it (XKS Z-05); undefined lets every one. */
export function pinExternalKey(
  context: Pick<MakingContext, 'storage'>,
  arn: string,
  kmsKeyArn: string | undefined,
  record = NOTHING,
): Promise<Key> {
  return changeExternalKey(context, arn, record, (key, { kmsKeyArn: before, ...facts }) => {
    const external = kmsKeyArn === undefined ? facts : { ...facts, kmsKeyArn }
    return before === kmsKeyArn ? undefined : { ...key, external }
  })
}

function changeExternalKey(
  { storage }: Pick<MakingContext, 'storage'>,
  arn: string,
  record: RecordKey,
  change: (key: Key, external: ExternalFacts) => Key | undefined,
): Promise<Key> {
  return storage.change((draft) => {
    const key = draft.findKey(arn)
    if (!key?.external) throw new KmsError('NotFoundException', `${arn} does not exist`)
    const changed = change(key, key.external)
    if (!changed) return key
    const latest = draft.putKey(changed)
    record(draft, latest)
    return latest
  })
}

function newOwner(external: ExternalFacts): MaterialOwner & { readonly external: ExternalFacts } {
  const keyId = randomUUID()
  return {
    arn: externalKeyArn(keyId),
    keyId,
    ...EXTERNAL_SCOPE,
    keySpec: 'SYMMETRIC_DEFAULT',
    keyUsage: 'ENCRYPT_DECRYPT',
    origin: 'XKS',
    external,
  }
}

function putExternalKey(draft: KeyDraft, owner: MaterialOwner, made: KeyMaterial): Key {
  const key = draft.putKey(enabledKey(owner, made, { policy: '' })) // its store's policy decides, nobody asks this one
  draft.putMaterial(made)
  return key
}

function assertExternalNameIsFree(
  draft: Pick<KeyDraft, 'findExternalKey'>,
  { storeName, externalKeyId }: ExternalFacts,
): void {
  if (draft.findExternalKey(storeName, externalKeyId))
    throw new KmsError('AlreadyExistsException', `${storeName}/${externalKeyId} exists already`)
}

function assertNotOurs(materials: Iterable<KeyMaterial>, plan: MaterialPlan): void {
  const ids = new Set(plan.objects.map(({ id }) => id))
  for (const { keyArn, material } of materials)
    if (material.objects.some(({ id }) => ids.has(id)))
      throw new KmsError('AlreadyExistsException', `that object is the key ${keyArn} already`)
}
