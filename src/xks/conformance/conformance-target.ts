import type { ConnectionOptions } from 'node:tls'
import type { ConformanceCredential } from './attempt.ts'

/** The proxy that is asked, and what exists behind it for the purpose. Keys are used, none is changed. */
export interface ConformanceTarget {
  /** Scheme, host and port. `http:` is for a proxy behind its own TLS front. */
  readonly url: URL
  /** What stands before `/kms/xks/v1`; empty, or with a slash first and none last. */
  readonly uriPathPrefix: string
  readonly region: string
  readonly credential: ConformanceCredential
  /** Valid beside the first one. */
  readonly secondCredential?: ConformanceCredential | undefined
  /** An AES-256 key, enabled, that encrypts and decrypts. */
  readonly keyId: string
  readonly disabledKeyId?: string | undefined
  readonly encryptOnlyKeyId?: string | undefined
  readonly decryptOnlyKeyId?: string | undefined
  /** Bytes of the key, where it is one made for tests: then the GCM input is computed here too. */
  readonly keyBytes?: Buffer | undefined
  /** A prefix of another key store, for which the credential is not. */
  readonly otherPrefix?: string | undefined
  /** CA, and client certificate with its key. */
  readonly tls: ConnectionOptions
  /** A client certificate with its key that the proxy must not take. */
  readonly strangerTls?: Pick<ConnectionOptions, 'cert' | 'key'> | undefined
  /** What requestMetadata says; a proxy may hold keys for certain callers only. */
  readonly kmsKeyArn: string
  readonly awsPrincipalArn: string
  /** In how many milliseconds an answer must be there; AWS KMS waits for `KMS_TIMEOUT_MS`. */
  readonly latestMs: number
  /** For how long T-13 leaves a connection alone. */
  readonly idleMs: number
}

export const KMS_TIMEOUT_MS = 250

/** What requests say of their caller unless the target has it otherwise. */
export const EXAMPLE_CALLER = {
  kmsKeyArn: 'arn:aws:kms:us-east-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab',
  awsPrincipalArn: 'arn:aws:iam::123456789012:user/Alice',
} as const
