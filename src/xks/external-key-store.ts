import type { Sensitive } from '../bytes/sensitive.ts'
import type { CompiledPolicy } from '../policy/compiled-policy.ts'
import type { ExternalKey } from './external-key.ts'

/** What one AWS KMS external key store speaks to: a URI path prefix with its own credentials and keys (XKS U-10). */
export interface ExternalKeyStore {
  readonly name: string
  /** Empty, or begins with a slash and ends without one; `/kms/xks/v1` follows it (XKS U-02). */
  readonly uriPathPrefix: string
  /** Regions from which AWS KMS may call; empty for every one (XKS A-03). */
  readonly regions: readonly string[]
  readonly enabled: boolean
  /** Undefined: no quota of its own. */
  readonly requestsPerSecond: number | undefined
  /** Secondary authorization (XKS 1.10); undefined permits every documented operation. */
  readonly policy: CompiledPolicy | undefined
  findKey(externalKeyId: string): ExternalKey | undefined
}

/** One of the SigV4 credentials of a store; several are valid at once (XKS A-07). */
export interface XksCredential {
  readonly accessKeyId: string
  readonly secretAccessKey: Sensitive<string>
  readonly storeName: string
}

/**
 * Everything that is configured, as of now: whoever holds what it answered sees one moment. A change of stores, credentials or
 * keys is visible in the next answer.
 */
export interface XksDirectory {
  findStore(uriPathPrefix: string): ExternalKeyStore | undefined
  findCredential(accessKeyId: string): XksCredential | undefined
}
