import type { Alias } from '../kms/alias.ts'
import type { AuditLine } from '../kms/audit-trail.ts'
import type { Key, KeyMaterial, LastUse, Tombstone } from '../kms/key.ts'
import type { Intent } from '../kms/key-storage.ts'
import type { PrincipalRecord, XksCredentialRecord, XksStoreRecord } from './storage.ts'

/** One thing that a transaction writes. The same list goes to the database and, after the commit, into the snapshot. */
export type Change =
  | { readonly kind: 'key'; readonly key: Key }
  | { readonly kind: 'material'; readonly material: KeyMaterial; readonly isNew: boolean }
  | { readonly kind: 'bury'; readonly tombstone: Tombstone }
  | { readonly kind: 'last-use'; readonly keyArn: string; readonly use: LastUse }
  | { readonly kind: 'alias'; readonly alias: Alias; readonly isNew: boolean }
  | { readonly kind: 'drop-alias'; readonly aliasArn: string }
  | { readonly kind: 'intent'; readonly intent: Intent }
  | { readonly kind: 'drop-intent'; readonly intentId: string }
  | { readonly kind: 'principal'; readonly principal: PrincipalRecord; readonly isNew: boolean }
  | { readonly kind: 'drop-principal'; readonly accessKeyId: string }
  | { readonly kind: 'xks-store'; readonly store: XksStoreRecord; readonly isNew: boolean }
  | { readonly kind: 'drop-xks-store'; readonly name: string }
  | { readonly kind: 'xks-credential'; readonly credential: XksCredentialRecord }
  | { readonly kind: 'drop-xks-credential'; readonly accessKeyId: string }
  | { readonly kind: 'anchors'; readonly tokenSerial: string; readonly anchors: unknown }
  | { readonly kind: 'latch'; readonly tokenSerial: string; readonly latch: unknown }
  | { readonly kind: 'instance'; readonly instance: Partial<Instance> }
  | { readonly kind: 'audit'; readonly line: AuditLine }

/** The numbers that belong to the whole storage. */
export interface Instance {
  readonly instanceId: string
  readonly lineage: number
  readonly heartbeat: number
  readonly usesRecordedSince: number
}
