import { defaultKeyPolicy } from '../policy/default-key-policy.ts'
import type { Key, KeyMaterial, Tag } from './key.ts'
import { keyArn } from './key-id.ts'
import type { KeySpec } from './key-spec.ts'
import type { KeyDraft } from './key-storage.ts'
import type { KmsContext } from './kms-context.ts'
import { KmsError } from './kms-error.ts'
import { type MaterialOwner, makeMaterial } from './make-material.ts'

/** What somebody chooses about a key before it exists. */
export interface NewKey {
  readonly keyId: string
  readonly accountId: string
  readonly region: string
  readonly keySpec: KeySpec
  readonly description?: string | undefined
  /** A policy that was checked already; without it the default key policy. */
  readonly policy?: string | undefined
  readonly tags?: readonly Tag[] | undefined
}

/** Makes a key with its first material in the token. `commit` writes what else belongs into the same transaction. */
export async function makeKey<T>(
  context: KmsContext,
  wanted: NewKey,
  commit: (draft: KeyDraft, key: Key) => T,
): Promise<T> {
  const arn = keyArn(wanted.region, wanted.accountId, wanted.keyId)
  const owner: MaterialOwner = {
    arn,
    keyId: wanted.keyId,
    accountId: wanted.accountId,
    region: wanted.region,
    keySpec: wanted.keySpec,
    keyUsage: 'ENCRYPT_DECRYPT',
    origin: 'AWS_KMS',
  }
  const check = (draft: KeyDraft) => assertNameIsFree(draft, arn)
  return makeMaterial(context, owner, 'create', check, (draft, made) => {
    assertNameIsFree(draft, arn)
    const key = draft.putKey(enabledKey(owner, made, wanted))
    draft.putMaterial(made)
    return commit(draft, key)
  })
}

/** Throws AlreadyExistsException when the id is in use, or was: an id is never given out twice. */
export function assertNameIsFree(
  names: Pick<KeyDraft, 'findKey' | 'findTombstone'>,
  arn: string,
): void {
  if (names.findKey(arn) ?? names.findTombstone(arn))
    throw new KmsError('AlreadyExistsException', `${arn} exists already or existed once.`)
}

export function enabledKey(
  owner: MaterialOwner,
  current: KeyMaterial,
  { description, policy, tags }: Pick<NewKey, 'description' | 'policy' | 'tags'> = {},
): Key {
  return {
    ...owner,
    description: description ?? '',
    state: 'Enabled',
    createdAt: current.createdAt,
    deletionAt: undefined,
    policy: policy ?? defaultKeyPolicy(owner.accountId),
    tags: tags ?? [],
    currentMaterialId: current.material.materialId,
    onDemandRotations: 0,
    rotationSchedule: undefined,
    rowVersion: 0,
  }
}
