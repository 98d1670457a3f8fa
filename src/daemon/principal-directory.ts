import type { Principal, PrincipalDirectory } from '../kms/caller.ts'
import { compilePolicy } from '../policy/compile-policy.ts'
import type { PrincipalRecord, Storage } from '../storage/storage.ts'
import type { HostSeal } from './host-seal.ts'

/**
 * Who may sign requests, out of storage's snapshot: a change of a principal holds with the next request. Secrets are unsealed
 * and policies compiled once per stored record, which never changes.
 */
export class StoredPrincipals implements PrincipalDirectory {
  readonly #storage: Storage
  readonly #seal: HostSeal
  readonly #opened = new WeakMap<PrincipalRecord, Principal>()

  constructor(storage: Storage, seal: HostSeal) {
    this.#storage = storage
    this.#seal = seal
  }

  findPrincipal(accessKeyId: string): Principal | undefined {
    const record = this.#storage.snapshot.findPrincipal(accessKeyId)
    return record && (this.#opened.get(record) ?? this.#open(record))
  }

  #open(record: PrincipalRecord): Principal {
    const { sealedSecret, identityPolicies, ...names } = record
    const principal: Principal = {
      ...names,
      secretAccessKey: this.#seal.open(sealedSecret, record.accessKeyId),
      identityPolicies: identityPolicies.map((text) => compilePolicy(text, 'identity')),
    }
    this.#opened.set(record, principal)
    return principal
  }
}
