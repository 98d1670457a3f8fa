import type { Material } from '../crypto/key-custody.ts'
import type { Aead } from './aead.ts'
import type { Evidence } from './evidence.ts'
import { isForeign, type MaterialUse, type TokenAnchors } from './lane-protocol.ts'
import type { LaneToken } from './lane-token.ts'
import type { ObjectIndex } from './object-index.ts'
import type { SessionCopies } from './session-copies.ts'

/** Everything that a started lane works with. */
export interface LaneState {
  readonly token: LaneToken
  readonly aead: Aead
  readonly index: ObjectIndex
  readonly copies: SessionCopies
  readonly evidence: Evidence
  /** Absent until `token init` has made them. */
  anchors: TokenAnchors | undefined
}

export function materialUse(material: Material): MaterialUse {
  const { materialId, scheme, objects, proof } = material
  const objectIds = objects.map(({ id }) => id)
  return { materialId, scheme, objectIds, proof, foreign: isForeign(material) }
}
