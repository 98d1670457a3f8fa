import type {
  ListKeyRotationsRequest,
  ListKeyRotationsResponse,
  RotationsListEntry,
} from '@aws-sdk/client-kms'
import { authorize } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import { getOwnKey } from '../find-key.ts'
import type { Key, KeyMaterial } from '../key.ts'
import type { Operation } from '../operation.ts'
import { pageOf } from '../paging.ts'

const PAGE_SIZE = { usual: 100, most: 1000 } // kms-facts 60
const AGE_DIGITS = 16

export const listKeyRotations: Operation<Camel<ListKeyRotationsRequest>> = {
  readOnly: true,
  audited: ['keyId', 'includeKeyMaterial', 'limit', 'marker'],
  async perform(context, request): Promise<Camel<ListKeyRotationsResponse>> {
    const { keyId = '', includeKeyMaterial } = request.input
    const key = getOwnKey(context, request, keyId, 'kms:ListKeyRotations')
    authorize(context, request, 'kms:ListKeyRotations', key)
    const { accountId, region } = key
    const list = { operation: `ListKeyRotations ${key.keyId}`, accountId, region }
    const { snapshot } = context.storage
    const wanted = snapshot
      .materialsOf(key.arn) // oldest first, as AWS lists them
      .filter(({ rotation }) => rotation || includeKeyMaterial === 'ALL_KEY_MATERIAL')
    const page = pageOf(snapshot.markerSecret, list, wanted, ageOf, request.input, PAGE_SIZE)
    const { items, ...rest } = page
    return { rotations: items.map((material) => rotationEntry(key, material)), ...rest }
  },
}

/** Materials are numbered in the order in which they were made. */
function ageOf({ lineage }: KeyMaterial): string {
  return String(lineage).padStart(AGE_DIGITS, '0')
}

/** The first material of a key has no date and no type: nothing was rotated. */
function rotationEntry(key: Key, { material, rotation }: KeyMaterial): Camel<RotationsListEntry> {
  const { materialId } = material
  return {
    keyId: key.arn,
    keyMaterialId: materialId,
    keyMaterialState: materialId === key.currentMaterialId ? 'CURRENT' : 'NON_CURRENT',
    ...(rotation && { rotationDate: new Date(rotation.at), rotationType: rotation.type }),
  }
}
