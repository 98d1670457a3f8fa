import type { AeadSchemeName } from './aead-scheme.ts'
import type { ExternalFacts } from './external-facts.ts'

/** The name of one object in one token (ARCH-D5). `id` is CKA_ID in lower-case hex, chosen at random before the object exists. */
export interface TokenObjectName {
  readonly role: 'cipher' | 'mac'
  readonly tokenSerial: string
  readonly keyType: 'AES' | 'GENERIC_SECRET'
  readonly id: string
  /** Somebody else's key that was adopted: used, and never destroyed by us. Absent for what we have made. */
  readonly foreign?: true
}

/** One piece of key material: what a custody needs to find it and to know it again. Plain JSON but for `proof`. */
export interface Material {
  /** KeyMaterialId: 32 random bytes as 64 lower-case hex digits; the only id inside a ciphertext blob. */
  readonly materialId: string
  readonly scheme: AeadSchemeName
  readonly objects: readonly TokenObjectName[]
  /** Birth proof (ARCH-D9): a constant, encrypted under the material's own scheme when it was made. */
  readonly proof: Buffer
}

/** What storage writes down before anything is made in the token (ARCH-D11). */
export type MaterialPlan = Omit<Material, 'proof'>

/** The facts of a key that its token record carries beside the material, so that storage can be rebuilt from the token. */
export interface MaterialOrigin {
  readonly keyId: string
  readonly accountId: string
  readonly region: string
  readonly keySpec: string
  readonly keyUsage: string
  readonly origin: string
  /** Of external keys only. */
  readonly external?: ExternalFacts
  /** Grows with every token write of this storage; the highest one in the token tells whether a database is older than it. */
  readonly lineage: number
  /** Epoch milliseconds. */
  readonly createdAt: number
}

/** IV and ciphertext with its tag or MAC at the end, as the scheme made them. */
export interface Sealed {
  readonly iv: Buffer
  readonly ciphertext: Buffer
}

/** What was sealed, and SHA-256 over a prefix of the caller's, the IV and the ciphertext, before the token took it back. */
export interface VerifiedSealed extends Sealed {
  readonly digest: Buffer
}

/** The turn of one process to write to a token that several processes use; absent where only one does. */
export interface WriteTurn {
  /** Throws when the turn may be over. Asked right before each write. */
  assertHeld(): void
  /** Another process may have written since the last turn of this one. */
  readonly othersWrote: boolean
}

/**
 * The holder of key material: a token behind PKCS#11, or somebody's XKS proxy. Whoever asks never learns which.
 * All methods throw CustodyError, or what a `turn` throws, and nothing else. Returned plaintext is the caller's to wipe.
 */
export interface KeyCustody {
  /** Bytes of IV that this custody writes under a scheme: part of the blob's header, so known before encrypting. */
  ivBytes(scheme: AeadSchemeName): number
  encrypt(material: Material, plaintext: Buffer, aad: Buffer): Promise<Sealed>
  decrypt(material: Material, sealed: Sealed, aad: Buffer): Promise<Buffer>
  /** Draws `bytes` random bytes in the token and encrypts them, in one visit. */
  encryptRandom(
    material: Material,
    bytes: number,
    aad: Buffer,
  ): Promise<Sealed & { readonly plaintext: Buffer }>
  /**
   * Encrypts, then digests `digestPrefix`, IV and ciphertext, then has the token decrypt what it made; answers only when the same
   * plaintext came back, all in one visit. TOKEN_LIED when it did not.
   */
  encryptVerified(
    material: Material,
    plaintext: Buffer,
    aad: Buffer,
    digestPrefix: Buffer,
  ): Promise<VerifiedSealed>
  random(bytes: number): Promise<Buffer>

  /** Chooses names and scheme for material that is about to be made; touches nothing. */
  plan(): MaterialPlan
  /** Makes what was planned, reads its attributes back, proves it in another lane, and writes its record. */
  make(plan: MaterialPlan, origin: MaterialOrigin, turn?: WriteTurn): Promise<Material>
  /**
   * Destroys every object of the plan and its record, and answers only when the token, with a working canary, shows none of
   * them. Absent objects are fine: a repeated call succeeds. Of an adopted key only our record goes (`foreign`).
   */
  destroy(plan: MaterialPlan, lineage: number, turn?: WriteTurn): Promise<void>
}
