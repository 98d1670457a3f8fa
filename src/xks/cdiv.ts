import { createHash } from 'node:crypto'
import type { Sealed } from '../crypto/key-custody.ts'

const NOTHING = Buffer.alloc(0)

/**
 * What the ciphertext data integrity value (CDIV) covers before IV, ciphertext and tag. Without lengths: it guards against
 * flipped bits, not against people (XKS E-14).
 */
export function cdivPrefix(
  aad: Buffer | undefined,
  ciphertextMetadata: Buffer | undefined,
): Buffer {
  return Buffer.concat([aad ?? NOTHING, ciphertextMetadata ?? NOTHING])
}

/** SHA-256 over the prefix, the IV and the ciphertext with its tag at the end (XKS E-14). */
export function cdiv(prefix: Buffer, { iv, ciphertext }: Sealed): Buffer {
  return createHash('sha256').update(prefix).update(iv).update(ciphertext).digest()
}
