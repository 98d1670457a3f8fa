/**
 * What makes a key one that AWS KMS reaches over the XKS Proxy API: where it is exposed, and to whom. All but the pin is settled
 * when the key is made. It stands in storage and, for a rebuild, in the token records of the key's materials, as it was when each
 * was made. Records never change (ARCH-D11), so a later pin gets there with the next material; a rebuilt key is Disabled until an
 * operator has looked.
 */
export interface ExternalFacts {
  /** The external key store. It may be absent, as after a rebuild: the key then waits for a store of that name. */
  readonly storeName: string
  /** Unique within the store. */
  readonly externalKeyId: string
  readonly keyUsage: readonly ('ENCRYPT' | 'DECRYPT')[]
  /** The only KMS key that may use this one; absent while nobody is pinned. */
  readonly kmsKeyArn?: string | undefined
  /** The first material is an object that was in the token before us. */
  readonly adopted: boolean
  /** Its old ciphertexts may authenticate a digest of the AAD, as aws-kms-xks-proxy made them. */
  readonly opensHashedAad: boolean
}
