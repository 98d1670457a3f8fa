/** One object that a scheme needs in the token: what it is for and what it may do. */
export interface SchemeObject {
  readonly role: 'cipher' | 'mac'
  readonly keyType: 'AES' | 'GENERIC_SECRET'
  readonly valueBytes: number
}

export interface AeadSchemeRow {
  /** The number inside a ciphertext blob and a token record. Never reused. */
  readonly id: number
  /** Bytes by which the ciphertext of a scheme is longer than its plaintext, at the most. */
  readonly overheadBytes: number
  readonly objects: readonly SchemeObject[]
  /** Random IVs of 96 bits: encryptions of one material are counted and bounded (SP 800-38D §8.3). */
  readonly countsEncryptions: boolean
}

/** How a token encrypts with associated data: rows, recorded in the blob, chosen by the vendor profile (ARCH-D7). */
export const AEAD_SCHEMES = {
  // CKM_AES_GCM inside the token, 128-bit tag behind the ciphertext.
  AES_GCM: {
    id: 1,
    overheadBytes: 16,
    objects: [{ role: 'cipher', keyType: 'AES', valueBytes: 32 }],
    countsEncryptions: true,
  },
  // For tokens without GCM: AES-CBC, then HMAC-SHA-256 over SHA-256 of the length-prefixed AAD, IV and ciphertext.
  AES_CBC_HMAC: {
    id: 2,
    overheadBytes: 16 + 32,
    objects: [
      { role: 'cipher', keyType: 'AES', valueBytes: 32 },
      { role: 'mac', keyType: 'GENERIC_SECRET', valueBytes: 32 },
    ],
    countsEncryptions: false,
  },
} as const satisfies Record<string, AeadSchemeRow>

export type AeadSchemeName = keyof typeof AEAD_SCHEMES

const BY_ID = new Map<number, AeadSchemeName>(
  Object.entries(AEAD_SCHEMES).map(([name, row]) => [row.id, name as AeadSchemeName]),
)

export function findAeadScheme(id: number): AeadSchemeName | undefined {
  return BY_ID.get(id)
}
