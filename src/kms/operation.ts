import type { KmsContext } from './kms-context.ts'
import type { KmsRequest } from './kms.ts'

/** A request whose input was validated against the schema of its operation. */
export type RequestOf<Input> = Omit<KmsRequest, 'input'> & { readonly input: Input }

/** One operation of the API. */
export interface Operation<Input> {
  /** As CloudTrail says of it: it changes no key. Cryptography is read-only there. */
  readonly readOnly: boolean
  /** It uses keys in cryptography, which GetKeyLastUsage tells of the keys in its trail. */
  readonly usesKeys?: true
  /** Members of the input that may be written into an audit record: no plaintext, no ciphertext, no secret. */
  readonly audited: readonly (keyof Input & string)[]
  perform(context: KmsContext, request: RequestOf<Input>): Promise<object | undefined>
}
