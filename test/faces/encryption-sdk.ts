import { createRequire } from 'node:module'
import type { KMS } from '@aws-sdk/client-kms'

/** Opaque to us: a keyring, or a materials manager on top of one. */
export type Materials = object

interface KeyringOptions {
  readonly clientProvider: (region: string) => KMS
  readonly generatorKeyId?: string
  readonly keyIds?: readonly string[]
  readonly discovery?: true
}

interface EncryptOptions {
  readonly encryptionContext?: Readonly<Record<string, string>>
  readonly plaintextLength?: number
}

interface EncryptionSdk {
  readonly CommitmentPolicy: { readonly REQUIRE_ENCRYPT_REQUIRE_DECRYPT: string }
  buildClient(policy: string): {
    encrypt(
      materials: Materials,
      plaintext: Buffer,
      options?: EncryptOptions,
    ): Promise<{ readonly result: Buffer }>
    decrypt(
      materials: Materials,
      message: Buffer,
    ): Promise<{
      readonly plaintext: Buffer
      readonly messageHeader: { readonly encryptionContext: Readonly<Record<string, string>> }
    }>
  }
  readonly KmsKeyringNode: new (options: KeyringOptions) => Materials
  readonly NodeCachingMaterialsManager: new (options: {
    readonly backingMaterials: Materials
    readonly cache: object
    readonly maxAge: number
    readonly maxMessagesEncrypted: number
  }) => Materials
  getLocalCryptographicMaterialsCache(capacity: number): object
}

// Its own types do not compile under `exactOptionalPropertyTypes`; here is what the tests call.
const require = createRequire(import.meta.url)
export const encryptionSdk = require('@aws-crypto/client-node') as EncryptionSdk
