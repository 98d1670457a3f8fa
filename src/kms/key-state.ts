import { KmsError } from './kms-error.ts'
import type { OperationName } from './operation-names.ts'

/** States that storage keeps. Destroying: the token objects are being destroyed, and nothing brings the key back. */
export type KeyState = 'Enabled' | 'Disabled' | 'PendingDeletion' | 'Destroying'

type Refusal = 'DISABLED' | 'PENDING_DELETION'

/** What each state says to an operation that needs the key to be usable. */
const REFUSALS: Readonly<Record<KeyState, Refusal | undefined>> = {
  Enabled: undefined,
  Disabled: 'DISABLED',
  PendingDeletion: 'PENDING_DELETION',
  Destroying: 'PENDING_DELETION',
}

/** States that refuse an operation on an existing key (KMS-25); an operation that is absent works in every state. */
const REFUSED_IN: ReadonlyMap<OperationName, readonly KeyState[]> = new Map([
  ['Encrypt', ['Disabled', 'PendingDeletion', 'Destroying']],
  ['Decrypt', ['Disabled', 'PendingDeletion', 'Destroying']],
  ['GenerateDataKey', ['Disabled', 'PendingDeletion', 'Destroying']],
  ['GenerateDataKeyWithoutPlaintext', ['Disabled', 'PendingDeletion', 'Destroying']],
  ['ReEncrypt', ['Disabled', 'PendingDeletion', 'Destroying']],
  ['EnableKeyRotation', ['Disabled', 'PendingDeletion', 'Destroying']],
  ['DisableKeyRotation', ['Disabled', 'PendingDeletion', 'Destroying']],
  ['RotateKeyOnDemand', ['Disabled', 'PendingDeletion', 'Destroying']],
  ['ScheduleKeyDeletion', ['PendingDeletion', 'Destroying']],
  ['UpdateKeyDescription', ['PendingDeletion', 'Destroying']],
  ['EnableKey', ['PendingDeletion', 'Destroying']],
  ['DisableKey', ['PendingDeletion', 'Destroying']],
  ['CreateAlias', ['PendingDeletion', 'Destroying']],
  ['UpdateAlias', ['PendingDeletion', 'Destroying']],
  ['TagResource', ['PendingDeletion', 'Destroying']],
  ['UntagResource', ['PendingDeletion', 'Destroying']],
])

/** Throws DisabledException or KMSInvalidStateException when the key's state forbids the operation (KMS-24). */
export function assertState(
  key: { readonly arn: string; readonly state: KeyState },
  operation: OperationName,
): void {
  if (key.state === 'Enabled') return
  if (!REFUSED_IN.get(operation)?.includes(key.state)) return
  if (REFUSALS[key.state] === 'DISABLED')
    throw new KmsError('DisabledException', `${key.arn} is disabled.`)
  throw new KmsError('KMSInvalidStateException', `${key.arn} is pending deletion.`)
}

/** For CancelKeyDeletion, which needs the state that others refuse (KMS-25). Destruction that has begun is beyond it. */
export function assertCancellable(key: { readonly arn: string; readonly state: KeyState }): void {
  if (key.state === 'PendingDeletion') return
  const why = key.state === 'Destroying' ? 'is being deleted' : 'is not pending deletion'
  throw new KmsError('KMSInvalidStateException', `${key.arn} ${why}.`)
}

/** The KeyState of AWS's replies. */
export function wireState(state: KeyState): 'Enabled' | 'Disabled' | 'PendingDeletion' {
  return state === 'Destroying' ? 'PendingDeletion' : state
}
