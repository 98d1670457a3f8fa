import type { Storage } from '../storage/storage.ts'
import type { ListReply } from '../token/lane-protocol.ts'
import type { TokenConnection } from './token-connection.ts'

/** How this database and the token stand to each other (ARCH-D11). */
export type OwnerVerdict =
  | { readonly kind: 'ours' }
  | { readonly kind: 'foreign'; readonly reason: string } // another database's token: not to be touched (FM-F33)
  | { readonly kind: 'older'; readonly reason: string } // uses go on, changes would destroy what we do not know (FM-F30)

/** Reads the owner record and every key record of the token and compares them with storage. */
export async function checkOwner(storage: Storage, token: TokenConnection): Promise<OwnerVerdict> {
  const list = await token.custody.list()
  await storage.refresh() // what another daemon made before is in the list, and must be in the snapshot
  return judgeOwner(storage.snapshot, list)
}

export function judgeOwner(
  ours: { readonly instanceId: string; readonly lineage: number },
  token: Pick<ListReply, 'owner' | 'records'>,
): OwnerVerdict {
  const { owner } = token
  if (!owner) {
    return {
      kind: 'older',
      reason: 'the token shows no owner record; if nobody else uses it, run: hsm-bridge init',
    }
  }
  if (owner.instanceId !== ours.instanceId) {
    return {
      kind: 'foreign',
      reason: `the token belongs to the database of instance ${owner.instanceId}, this one is ${ours.instanceId}`,
    }
  }
  const newest = newestLineage(token)
  if (newest > ours.lineage) {
    return {
      kind: 'older',
      reason:
        `this database ends at token write ${ours.lineage}, the token at ${newest}: it was restored from an older copy; ` +
        'changes are refused until: hsm-bridge rebuild',
    }
  }
  return { kind: 'ours' }
}

/** The highest number of a token write that the token itself tells of. Forged records do not count. */
export function newestLineage({ owner, records }: Pick<ListReply, 'owner' | 'records'>): number {
  const told = records.flatMap((record) =>
    record.authentic && record.origin ? [record.origin.lineage] : [],
  )
  return told.reduce((highest, lineage) => Math.max(highest, lineage), owner?.lineage ?? 0)
}
