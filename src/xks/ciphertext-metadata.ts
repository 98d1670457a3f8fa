import type { Material } from '../crypto/key-custody.ts'
import type { ExternalKey } from './external-key.ts'

/** XKS E-09, XKS D-02: nobody may send more of it, nor we. */
export const MAX_METADATA_BYTES = 20

// Version 1: a byte that says how AAD and metadata are authenticated (XKS E-13), then the first half of the KeyMaterialId.
// 128 bits of a random id are enough to tell the materials of one key apart.
const SCHEME = 1
const ID_BYTES = 16
const METADATA_BYTES = 1 + ID_BYTES

const made = new WeakMap<Material, Buffer>()

/** The ciphertextMetadata of everything that this material encrypts: the same bytes each time, for nobody to change. */
export function ciphertextMetadata(material: Material): Buffer {
  const known = made.get(material)
  if (known) return known
  const metadata = Buffer.alloc(METADATA_BYTES, SCHEME)
  if (metadata.write(material.materialId, 1, ID_BYTES, 'hex') !== ID_BYTES)
    throw new TypeError('a KeyMaterialId is 64 hex digits')
  made.set(material, metadata)
  return metadata
}

/** Whether metadata is of the form that we give; it may still name material that does not exist. */
export function isOurMetadata(metadata: Buffer | undefined): metadata is Buffer {
  return metadata?.length === METADATA_BYTES && metadata[0] === SCHEME
}

/** The material that our metadata names, among those of this key alone (AT-C09). */
export function findMaterial({ materials }: ExternalKey, metadata: Buffer): Material | undefined {
  const id = metadata.toString('hex', 1)
  return materials.find(({ materialId }) => materialId.startsWith(id))
}
