import { equalBytes } from '../bytes/equal.ts'
import { FieldReader, fields } from '../bytes/fields.ts'
import { CustodyError } from '../crypto/custody-error.ts'
import type { Sealed } from '../crypto/key-custody.ts'
import type { Session } from '../pkcs11/session.ts'
import type { Aead, SchemeKeys } from './aead.ts'
import type { MaterialUse } from './lane-protocol.ts'
import type { Steps } from './lane-steps.ts'

const PROVEN_TEXT = Buffer.from('hsm-bridge birth proof v1')

/** Makes the birth proof of fresh material: a constant, encrypted under its own scheme (ARCH-D9). */
export function* makeBirthProof(
  aead: Aead,
  session: Session,
  keys: SchemeKeys,
  material: Omit<MaterialUse, 'proof'>,
): Steps<Buffer> {
  const aad = proofAad(material.materialId)
  return encodeBirthProof(yield* aead.seal(material.scheme, session, keys, PROVEN_TEXT, aad))
}

/**
 * Whether these keys open the proof, and so are the very material it was made with. Bytes that are no proof open nothing.
 * Throws Pkcs11Error and MacMismatch, as `Aead.open` does.
 */
export function* opensBirthProof(
  aead: Aead,
  session: Session,
  keys: SchemeKeys,
  material: MaterialUse,
): Steps<boolean> {
  const sealed = findBirthProof(material.proof)
  if (!sealed) return false
  try {
    const aad = proofAad(material.materialId)
    return equalBytes(yield* aead.open(material.scheme, session, keys, sealed, aad), PROVEN_TEXT)
  } catch (error) {
    if (error instanceof CustodyError && error.code === 'CIPHERTEXT_REJECTED') return false
    throw error
  }
}

/** iv (u8-sized) | ciphertext (u16-sized) */
export function encodeBirthProof({ iv, ciphertext }: Sealed): Buffer {
  return fields().sized(1, iv).sized(2, ciphertext).bytes()
}

/** Undefined when the bytes are no proof. */
export function findBirthProof(bytes: Buffer): Sealed | undefined {
  try {
    const reader = new FieldReader(bytes)
    const sealed = { iv: reader.sized(1), ciphertext: reader.sized(2) }
    return reader.done ? sealed : undefined
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

/** The proof of one material is none for another, even where both share an object. */
function proofAad(materialId: string): Buffer {
  return fields().sized(1, Buffer.from(materialId, 'hex')).bytes()
}
