import type { Material } from '../crypto/key-custody.ts'

/** What an external key may be used for (XKS G-03): our permission, on top of the token's own. */
export type ExternalKeyUsage = 'ENCRYPT' | 'DECRYPT'

/** A token key that an external key store exposes under a name of its own. Immutable: a change is a new record. */
export interface ExternalKey {
  /** Unique within its store: 1 to 128 characters of `A-Za-z0-9._-`, never `.` or `..` (XKS U-06, XKS U-07). */
  readonly externalKeyId: string
  readonly enabled: boolean
  readonly keyUsage: readonly ExternalKeyUsage[]
  /** The only KMS key that may use this one (XKS Z-05); undefined while nobody is pinned. */
  readonly kmsKeyArn: string | undefined
  /** Encrypts. One of `materials`. */
  readonly current: Material
  /** Every material of the key, oldest first: each decrypts for ever what it encrypted. */
  readonly materials: readonly Material[]
  /** The first material came from elsewhere: ciphertexts without metadata of ours may be its own. */
  readonly adopted: boolean
  /** Those ciphertexts may have been made by aws-kms-xks-proxy, which authenticates a digest of the AAD. */
  readonly opensHashedAad: boolean
}
