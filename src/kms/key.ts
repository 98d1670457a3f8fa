import type { ExternalFacts } from '../crypto/external-facts.ts'
import type { Material, MaterialPlan } from '../crypto/key-custody.ts'
import type { KeySpec } from './key-spec.ts'
import type { KeyState } from './key-state.ts'
import type { OperationName } from './operation-names.ts'

export interface Tag {
  readonly tagKey: string
  readonly tagValue: string
}

/** Automatic rotation of a key, while it is on. */
export interface RotationSchedule {
  readonly periodDays: number
  /** When the next rotation is due, in epoch milliseconds. */
  readonly nextAt: number
}

export type RotationType = 'AUTOMATIC' | 'ON_DEMAND'

/** How a piece of material came to be the current one. */
export interface MaterialRotation {
  readonly type: RotationType
  /** Epoch milliseconds. */
  readonly at: number
}

/** The latest successful use of a key in cryptography. */
export interface LastUse {
  readonly operation: OperationName
  /** Epoch milliseconds. */
  readonly at: number
  /** Of the audit record; unknown when it was not written yet. */
  readonly eventId: string | undefined
  readonly requestId: string
}

/**
 * Account and region of the keys that are exposed over the XKS Proxy API. No caller of the KMS API is in either, so its lists,
 * quotas and names never meet them.
 */
export const EXTERNAL_SCOPE = { accountId: '', region: 'xks' } as const

/** A key as storage keeps it, be it a KMS key or an external one. Immutable: a change is a new record, so whoever holds one sees one moment of the key (AT-Z09). */
export interface Key {
  /** `arn:aws:kms:<region>:<account>:key/<id>`, or of external keys `arn:hsm-bridge:xks:::key/<id>`: the name in storage. */
  readonly arn: string
  readonly keyId: string
  readonly accountId: string
  readonly region: string
  readonly description: string
  readonly keySpec: KeySpec
  readonly keyUsage: 'ENCRYPT_DECRYPT'
  readonly origin: 'AWS_KMS' | 'XKS'
  /** Of keys of origin XKS, and only of them. */
  readonly external?: ExternalFacts
  readonly state: KeyState
  /** Epoch milliseconds. */
  readonly createdAt: number
  /** Set while the key is PendingDeletion or Destroying. */
  readonly deletionAt: number | undefined
  /** The policy document as it was put, character for character (kms-facts 19). */
  readonly policy: string
  readonly tags: readonly Tag[]
  readonly currentMaterialId: string
  /** RotateKeyOnDemand calls that succeeded; rotations of our own accord are not among them. */
  readonly onDemandRotations: number
  /** Undefined while automatic rotation is off. */
  readonly rotationSchedule: RotationSchedule | undefined
  /** Grows by one with every change; storage refuses a change that was made from an older one (FM-F27). */
  readonly rowVersion: number
}

/** One piece of material of one key. The `material` object stays the same for as long as the process lives. */
export interface KeyMaterial {
  readonly keyArn: string
  readonly region: string
  readonly material: Material
  /** The lineage number it was made under: the order of a key's materials. */
  readonly lineage: number
  readonly createdAt: number
  /** Undefined for the first material of a key. */
  readonly rotation: MaterialRotation | undefined
  /** Encryptions that were set aside for use, in blocks: never less than were made (ARCH-D7). */
  readonly encryptionsReserved: number
}

/** What remains of a destroyed key, so that its id is never given out again. */
export interface Tombstone {
  readonly arn: string
  readonly accountId: string
  readonly region: string
  readonly keyId: string
  readonly destroyedAt: number
  readonly materialIds: readonly string[]
}

export function planOf({ materialId, scheme, objects }: Material): MaterialPlan {
  return { materialId, scheme, objects }
}
