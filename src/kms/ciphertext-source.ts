import { type Action, authorize } from './authorize.ts'
import {
  blobAad,
  type CiphertextBlob,
  invalidCiphertext,
  parseCiphertextBlob,
} from './ciphertext-blob.ts'
import type { EncryptionContext } from './encryption-context.ts'
import { getNamedKey, notFound, seekKey } from './find-key.ts'
import type { Key, KeyMaterial } from './key.ts'
import type { KmsContext } from './kms-context.ts'
import { KmsError } from './kms-error.ts'
import type { RequestOf } from './operation.ts'
import { addEncryptionContext, addRequestAlias, type Conditions } from './request-conditions.ts'

/** What Decrypt, and the source side of ReEncrypt, say of the ciphertext that they want opened. */
export interface SourceInput {
  readonly action: Action
  readonly ciphertextBlob: Uint8Array | undefined
  readonly keyId: string | undefined
  readonly encryptionContext: EncryptionContext | undefined
  readonly encryptionAlgorithm: string | undefined
  readonly dryRun: boolean | undefined
  readonly dryRunModifiers: readonly string[] | undefined
}

/** A ciphertext and the key under which it lies. */
export interface CiphertextSource {
  readonly key: Key
  /** Undefined in a dry run that leaves the ciphertext out of consideration. */
  readonly sealed: { readonly blob: CiphertextBlob; readonly material: KeyMaterial } | undefined
}

/** The blob alone says which key it is, among the keys of this region (KMS-37). */
export function findSource(
  context: KmsContext,
  request: RequestOf<unknown>,
  input: SourceInput,
): CiphertextSource {
  if (ignoresCiphertext(input))
    return { key: keyInstead(context, request, input), sealed: undefined }
  if (input.ciphertextBlob === undefined) throw missing('ciphertextBlob')
  const { caller, trail } = request
  const { snapshot } = context.storage
  const blob = parseCiphertextBlob(input.ciphertextBlob)
  const material = snapshot.findMaterial(caller.region, blob.materialId)
  const key = material && snapshot.findKey(material.keyArn)
  if (!key || key.external) throw unknownCiphertext() // an external key is none of the KMS API
  trail.resources.push(key.arn)
  return { key, sealed: { blob, material } }
}

/** A stranger to the key's account must not learn that the key exists (AT-Z02): it hears what an unknown ciphertext gets. */
export function authorizeSource(
  context: KmsContext,
  request: RequestOf<unknown>,
  { key }: CiphertextSource,
  input: SourceInput,
  add?: (conditions: Conditions) => void,
): void {
  try {
    authorize(context, request, input.action, key, (conditions) => {
      conditions.set('kms:encryptionalgorithm', [input.encryptionAlgorithm ?? 'SYMMETRIC_DEFAULT'])
      addEncryptionContext(conditions, input.encryptionContext)
      addRequestAlias(conditions, input.keyId)
      add?.(conditions)
    })
  } catch (error) {
    throw key.accountId === request.caller.accountId ? error : unknownCiphertext(error)
  }
}

/** KMS-36: a KeyId in the request chooses nothing, it may only confirm what the blob says. */
export function assertNames(
  { storage }: KmsContext,
  { caller }: RequestOf<unknown>,
  { key }: CiphertextSource,
  keyId: string | undefined,
): void {
  if (keyId === undefined) return
  const named = seekKey(storage.snapshot, caller, keyId)
  if (named.key?.arn === key.arn) return
  if (named.name.accountId === caller.accountId && !named.key) throw notFound(named.name)
  throw new KmsError(
    'IncorrectKeyException',
    'The key ID in the request does not identify a CMK that can perform this operation.',
  )
}

/** Throws InvalidCiphertextException where no token has to be asked: for a blob that its key's material cannot have made. */
export function assertOpenable({ sealed }: CiphertextSource): void {
  if (sealed && sealed.material.material.scheme !== sealed.blob.scheme) throw invalidCiphertext()
}

/** The plaintext, which is the caller's to wipe. A dry run never comes here. */
export function openSource(
  { custody }: KmsContext,
  { key, sealed }: CiphertextSource,
  encryptionContext: EncryptionContext | undefined,
): Promise<Buffer> {
  if (!sealed) throw new TypeError('there is no ciphertext to open')
  const aad = blobAad(sealed.blob.header, key, encryptionContext)
  return custody.decrypt(sealed.material.material, sealed.blob.sealed, aad)
}

/** The modifier asks about permission alone; without DryRun it means nothing. */
function ignoresCiphertext({ dryRun, dryRunModifiers }: SourceInput): boolean {
  return dryRun === true && dryRunModifiers?.includes('IGNORE_CIPHERTEXT') === true
}

function keyInstead(context: KmsContext, request: RequestOf<unknown>, input: SourceInput): Key {
  if (input.keyId === undefined)
    throw missing(input.action === 'kms:Decrypt' ? 'keyId' : 'sourceKeyId')
  return getNamedKey(context, request, input.keyId, input.action)
}

function missing(member: string): KmsError {
  return new KmsError(
    'ValidationException', // KMS-6
    `1 validation error detected: Value null at '${member}' failed to satisfy constraint: Member must not be null`,
  )
}

function unknownCiphertext(cause?: unknown): KmsError {
  return new KmsError(
    'AccessDeniedException',
    'The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.',
    { cause },
  )
}
