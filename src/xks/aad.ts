import { hash } from 'node:crypto'
import { fields } from '../bytes/fields.ts'

/** XKS E-12: the longest AAD whose length fits its two bytes. */
export const MAX_AAD_BYTES = 0xffff

const NOTHING = Buffer.alloc(0)

/**
 * The associated data that the token authenticates. Absent and empty are the same.
 * Throws RangeError for an AAD over 65,535 bytes (XKS E-12).
 */
export function gcmAad(aad: Buffer | undefined, ciphertextMetadata: Buffer | undefined): Buffer {
  // XKS E-11: both lengths go into the AAD, so no byte can move between AAD and metadata.
  return fields()
    .sized(2, aad ?? NOTHING)
    .sized(1, ciphertextMetadata ?? NOTHING)
    .bytes()
}

/**
 * The same as aws-kms-xks-proxy builds it: a digest instead of the AAD, behind the length of the AAD itself. A present but empty
 * AAD has a digest, an absent one has none. Read in its source, version 3.1.2.
 */
export function hashedGcmAad(aad: Buffer, ciphertextMetadata: Buffer | undefined): Buffer {
  const digest = hash('sha256', aad, 'buffer')
  const metadata = fields()
    .sized(1, ciphertextMetadata ?? NOTHING)
    .bytes()
  return Buffer.concat([fields().number(2, aad.length).bytes(), digest, metadata])
}
