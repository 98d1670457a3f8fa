import { compilePolicy } from '../policy/compile-policy.ts'
import type { CompiledPolicy } from '../policy/compiled-policy.ts'
import { PolicyError } from '../policy/policy-error.ts'
import type { Key } from './key.ts'
import { KmsError } from './kms-error.ts'

/** Compiled key policies. Most keys of an account share one text, the default one. */
export class KeyPolicies {
  readonly #byKey = new WeakMap<Key, CompiledPolicy>()
  readonly #byText = new Map<string, WeakRef<CompiledPolicy>>()

  of(key: Key): CompiledPolicy {
    let policy = this.#byKey.get(key)
    if (!policy) {
      policy = this.#compileOnce(key.policy)
      this.#byKey.set(key, policy)
    }
    return policy
  }

  #compileOnce(text: string): CompiledPolicy {
    const known = this.#byText.get(text)?.deref()
    if (known) return known
    const policy = compilePolicy(text, 'key')
    this.#byText.set(text, new WeakRef(policy))
    return policy
  }
}

/** Compiles a policy that somebody wants to put. Throws MalformedPolicyDocumentException for what we do not know (ARCH-D13). */
export function compileKeyPolicy(text: string): CompiledPolicy {
  try {
    return compilePolicy(text, 'key')
  } catch (error) {
    if (error instanceof PolicyError)
      throw new KmsError('MalformedPolicyDocumentException', error.message, { cause: error })
    throw error
  }
}
