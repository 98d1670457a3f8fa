import type { MakeIntent } from '../kms/key-storage.ts'
import type { TokenWriteLock } from '../kms/token-write-lock.ts'
import type { StorageSnapshot } from '../storage/storage.ts'
import type { ListedObject, ListReply, TokenAnchors } from '../token/lane-protocol.ts'
import { findAnchors } from './anchors.ts'
import type { Installation } from './installation.ts'

/** Every difference between storage and token, by kind. Nothing here is destroyed by inference (FM-R9). */
export interface Reconciliation {
  readonly openIntents: readonly OpenIntent[]
  /** Secret keys of our making that no key, intent or anchor of this database names, and half-made objects of any kind. */
  readonly unknownObjects: readonly {
    readonly id: string
    readonly label: string
    readonly ours: boolean
  }[]
  /** Secret keys of other programs in the same token: told of, and nothing to act on. */
  readonly foreignObjects: readonly { readonly id: string; readonly label: string }[]
  /** Authentic records of materials that this database does not have: it is older than the token, or another's. */
  readonly unknownRecords: readonly { readonly materialId: string; readonly keyId: string }[]
  /** Records whose MAC does not fit: damaged, forged, or of another record key. */
  readonly unauthenticRecords: readonly string[]
  /** Materials of this database that the token does not show whole. */
  readonly missingMaterials: readonly {
    readonly keyArn: string
    readonly materialId: string
    readonly missingObjectIds: readonly string[]
  }[]
  readonly destroyed: readonly string[]
}

export interface OpenIntent {
  readonly intentId: string
  readonly kind: 'make' | 'destroy'
  readonly keyArn: string
  readonly createdAt: string
  /** Left by an earlier process; the others are being worked on now. */
  readonly leftover: boolean
  /** How many of its objects the token shows. */
  readonly objectsInToken: number
}

const OUR_LABEL = 'hsm-bridge:'

/**
 * Compares storage with the token. With `destroyUncommitted` it destroys the objects that this database's own make-intents
 * name, were left by an earlier process and never became a key; nothing else ever.
 */
export async function reconcile(
  installation: Installation,
  options: { readonly destroyUncommitted: boolean },
): Promise<Reconciliation> {
  const { serial, custody } = await installation.token()
  const { storage } = installation
  return await storage.withTokenWriteLock(async (lock) => {
    const destroyed = options.destroyUncommitted ? await destroyUncommitted(installation, lock) : []
    const list = await custody.list()
    await storage.refresh()
    const anchors = findAnchors(storage, serial)
    return { ...compare(storage.snapshot, list, anchors, leftoverIntents(installation)), destroyed }
  })
}

/** Under the write lock of a shared storage nobody works on any intent, whoever wrote it. */
function leftoverIntents({ storage, leftoverIntentIds }: Installation): ReadonlySet<string> {
  if (!storage.isShared) return leftoverIntentIds
  return new Set(storage.snapshot.intents().map(({ intentId }) => intentId))
}

function compare(
  snapshot: StorageSnapshot,
  token: ListReply,
  anchors: TokenAnchors | undefined,
  leftover: ReadonlySet<string>,
): Omit<Reconciliation, 'destroyed'> {
  const inToken = new Set(token.objects.map(({ id }) => id))
  const materials = [...snapshot.allMaterials()]
  // A material that an intent names is told of once, by its intent.
  const plans = [
    ...materials.map(({ material }) => material),
    ...snapshot.intents().flatMap(plansOf),
  ]
  const materialIds = new Set(plans.map(({ materialId }) => materialId))
  const named = namedObjectIds(snapshot, anchors)
  const unnamed = token.objects
    .filter((it) => isHalfMade(it) || (it.class === 'SECRET_KEY' && !named.has(it.id)))
    .map((it) => ({ id: it.id, label: it.label, ours: it.label.startsWith(OUR_LABEL) }))
  const isForeign = (it: (typeof unnamed)[number]) => !it.ours && !isHalfMade(it)
  return {
    openIntents: snapshot.intents().map((intent) => ({
      intentId: intent.intentId,
      kind: intent.kind,
      keyArn: intent.keyArn,
      createdAt: new Date(intent.createdAt).toISOString(),
      leftover: leftover.has(intent.intentId),
      objectsInToken: plansOf(intent)
        .flatMap(({ objects }) => objects)
        .filter(({ id }) => inToken.has(id)).length,
    })),
    unknownObjects: unnamed.filter((it) => !isForeign(it)),
    foreignObjects: unnamed.filter(isForeign).map(({ id, label }) => ({ id, label })),
    unknownRecords: token.records.flatMap(({ authentic, kind, material, origin }) =>
      authentic &&
      kind === 'material' &&
      material &&
      origin &&
      !materialIds.has(material.materialId)
        ? [{ materialId: material.materialId, keyId: origin.keyId }]
        : [],
    ),
    unauthenticRecords: token.records
      .filter(({ authentic }) => !authentic)
      .map(({ label }) => label),
    missingMaterials: materials.flatMap(({ keyArn, material }) => {
      const missing = material.objects.filter(({ id }) => !inToken.has(id)).map(({ id }) => id)
      return missing.length === 0
        ? []
        : [{ keyArn, materialId: material.materialId, missingObjectIds: missing }]
    }),
  }
}

/** FM-F22: what SoftHSM2 leaves of an object when it is killed in the middle of writing it, be it a key or a record. */
function isHalfMade({ id, label }: Pick<ListedObject, 'id' | 'label'>): boolean {
  return id === '' && label === ''
}

/** CKA_IDs of every object that this database has a reason to expect. */
function namedObjectIds(
  snapshot: StorageSnapshot,
  anchors: TokenAnchors | undefined,
): ReadonlySet<string> {
  const plans = [
    ...[...snapshot.allMaterials()].map(({ material }) => material),
    ...snapshot.intents().flatMap(plansOf),
    ...(anchors ? [anchors.canary] : []),
  ]
  const ids = plans.flatMap(({ objects }) => objects.map(({ id }) => id))
  return new Set(anchors ? [...ids, anchors.recordKeyId] : ids)
}

function plansOf(intent: ReturnType<StorageSnapshot['intents']>[number]) {
  return intent.kind === 'make' ? [intent.plan] : intent.plans
}

async function destroyUncommitted(
  installation: Installation,
  lock: TokenWriteLock,
): Promise<readonly string[]> {
  const { storage, logger } = installation
  const leftover = leftoverIntents(installation)
  const { custody } = await installation.token()
  const destroyed: string[] = []
  for (const intent of storage.snapshot.intents()) {
    if (intent.kind !== 'make' || !leftover.has(intent.intentId)) continue
    if (isCommitted(storage.snapshot, intent)) continue
    // The lineage is durable before the token loses anything: an older copy of the database is known by it (ARCH-D11).
    const lineage = await storage.change((draft) => draft.nextLineage(), { lock })
    await custody.destroy(intent.plan, lineage, lock)
    await storage.change((draft) => draft.dropIntent(intent.intentId), { lock })
    logger.warn('uncommitted material destroyed', {
      keyArn: intent.keyArn,
      intentId: intent.intentId,
    })
    destroyed.push(intent.intentId)
  }
  return destroyed
}

function isCommitted(snapshot: StorageSnapshot, intent: MakeIntent): boolean {
  return snapshot.findMaterial(intent.origin.region, intent.plan.materialId) !== undefined
}
