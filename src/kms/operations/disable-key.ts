import type { DisableKeyRequest } from '@aws-sdk/client-kms'
import type { Camel } from '../camel.ts'
import { changeKey } from '../change-key.ts'
import type { Operation } from '../operation.ts'

export const disableKey: Operation<Camel<DisableKeyRequest>> = {
  readOnly: false,
  audited: ['keyId'],
  /** Waits for nothing that goes on with the key in the token: whoever disables a key may be in a hurry. */
  async perform(context, request): Promise<undefined> {
    await changeKey(context, request, { apply: (key) => ({ ...key, state: 'Disabled' }) })
  },
}
