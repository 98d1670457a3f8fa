import { type Action, authorize } from './authorize.ts'
import { getOwnKey } from './find-key.ts'
import type { Key } from './key.ts'
import { keyNotFound } from './key-id.ts'
import { assertState } from './key-state.ts'
import type { KmsContext } from './kms-context.ts'
import type { RequestOf } from './operation.ts'
import { recordChange } from './record-change.ts'
import type { Conditions } from './request-conditions.ts'

/** What a request does to one key. */
export interface KeyChange {
  /** Completes the condition keys of the decision. */
  readonly conditions?: (conditions: Conditions) => void
  /** The key as it will be. Throws what forbids the change. */
  readonly apply: (key: Key) => Key
}

/**
 * Changes the key that the request names, a key of the caller's own account, with the audit record in the same transaction.
 * Throws what naming, authorization, the key's state and `apply` throw.
 */
export async function changeKey(
  context: KmsContext,
  request: RequestOf<{ readonly keyId: string | undefined }>,
  { conditions, apply }: KeyChange,
): Promise<Key> {
  const action: Action = `kms:${request.operation}`
  const permitted = decideOnce(context, request, action, conditions)
  const { arn } = permitted(getOwnKey(context, request, request.input.keyId ?? '', action))
  return context.storage.change((draft) => {
    const key = draft.findKey(arn)
    if (!key) throw keyNotFound(arn)
    assertState(permitted(key), request.operation)
    const changed = draft.putKey(apply(key))
    request.trail.response = { keyId: arn }
    recordChange(context, draft, request)
    return changed
  })
}

/**
 * Authorizes each record of a key once: asked before a change and again inside it, it decides anew only when the key has
 * changed in between. So decision and change belong to one version (AT-Z09).
 */
export function decideOnce(
  context: KmsContext,
  request: RequestOf<unknown>,
  action: Action,
  conditions?: (conditions: Conditions) => void,
): (key: Key) => Key {
  const decided = new Set<Key>()
  return (key) => {
    if (!decided.has(key)) authorize(context, request, action, key, conditions)
    decided.add(key)
    return key
  }
}
