import type { EncryptionBudget } from '../kms/encryption-budget.ts'
import { EXTERNAL_SCOPE, type Key, type KeyMaterial } from '../kms/key.ts'
import { KmsError } from '../kms/kms-error.ts'
import { compilePolicy } from '../policy/compile-policy.ts'
import type { CompiledPolicy } from '../policy/compiled-policy.ts'
import type { Storage, XksCredentialRecord, XksStoreRecord } from '../storage/storage.ts'
import type { ExternalKey } from '../xks/external-key.ts'
import type { ExternalKeyStore, XksCredential, XksDirectory } from '../xks/external-key-store.ts'
import { XksError } from '../xks/xks-error.ts'
import type { HostSeal } from './host-seal.ts'
import type { Logger } from './log.ts'

interface ReadKey {
  readonly externalKey: ExternalKey
  /** What it was read from besides the key's record. */
  readonly materials: readonly KeyMaterial[]
}

/**
 * External key stores, their credentials and keys out of storage's snapshot: a change holds with the next request, one of another
 * daemon within a second (ARCH-D12). Secrets are unsealed, policies compiled and keys put together once per stored record, which
 * never changes, so a request costs look-ups and allocates nothing.
 */
export class StoredXksDirectory implements XksDirectory {
  readonly #storage: Storage
  readonly #seal: HostSeal
  readonly #logger: Pick<Logger, 'error'>
  readonly #stores = new WeakMap<XksStoreRecord, ExternalKeyStore>()
  readonly #credentials = new WeakMap<XksCredentialRecord, XksCredential | 'unreadable'>()
  readonly #keys = new WeakMap<Key, ReadKey>()

  constructor(storage: Storage, seal: HostSeal, logger: Pick<Logger, 'error'>) {
    this.#storage = storage
    this.#seal = seal
    this.#logger = logger
  }

  findStore(uriPathPrefix: string): ExternalKeyStore | undefined {
    const record = this.#storage.snapshot.findXksStoreAt(uriPathPrefix)
    return record && (this.#stores.get(record) ?? this.#readStore(record))
  }

  findCredential(accessKeyId: string): XksCredential | undefined {
    const record = this.#storage.snapshot.findXksCredential(accessKeyId)
    if (!record) return undefined
    const credential = this.#credentials.get(record) ?? this.#readCredential(record)
    return credential === 'unreadable' ? undefined : credential
  }

  #readStore(record: XksStoreRecord): ExternalKeyStore {
    const { name, uriPathPrefix, regions, requestsPerSecond, enabled } = record
    const store: ExternalKeyStore = {
      name,
      uriPathPrefix,
      regions,
      requestsPerSecond,
      enabled,
      policy: this.#readPolicy(record),
      findKey: (externalKeyId) => this.#findKey(name, externalKeyId),
    }
    this.#stores.set(record, store)
    return store
  }

  /** XKS Z-06: it compiled when it was put. If it does no more, nobody is permitted anything, and the log says so. */
  #readPolicy({ name, policy }: XksStoreRecord): CompiledPolicy | undefined {
    if (policy === undefined) return undefined
    try {
      return compilePolicy(policy, 'xks')
    } catch (error) {
      this.#logger.error(
        'the policy of an external key store is not understood: its keys are denied',
        {
          store: name,
          error,
        },
      )
      return { kind: 'xks', decide: () => ({ allows: [] }) }
    }
  }

  #readCredential(record: XksCredentialRecord): XksCredential | 'unreadable' {
    const credential = this.#openCredential(record)
    this.#credentials.set(record, credential)
    return credential
  }

  #openCredential(record: XksCredentialRecord): XksCredential | 'unreadable' {
    const { accessKeyId, storeName, sealedSecret } = record
    try {
      const secretAccessKey = this.#seal.open(sealedSecret, accessKeyId)
      return { accessKeyId, storeName, secretAccessKey }
    } catch (error) {
      this.#logger.error('a credential of an external key store cannot be used', {
        store: storeName,
        error,
      })
      return 'unreadable'
    }
  }

  #findKey(storeName: string, externalKeyId: string): ExternalKey | undefined {
    const { snapshot } = this.#storage
    const key = snapshot.findExternalKey(storeName, externalKeyId)
    if (!key) return undefined
    const materials = snapshot.materialsOf(key.arn)
    const read = this.#keys.get(key)
    if (read?.materials === materials) return read.externalKey
    const externalKey = readKey(key, materials)
    this.#keys.set(key, { externalKey, materials })
    return externalKey
  }
}

function readKey(key: Key, made: readonly KeyMaterial[]): ExternalKey {
  const materials = made.map(({ material }) => material)
  const current = materials.find(({ materialId }) => materialId === key.currentMaterialId)
  if (!current || !key.external)
    throw new TypeError(`storage keeps ${key.arn} without its current material`)
  const { externalKeyId, keyUsage, kmsKeyArn, adopted, opensHashedAad } = key.external
  return {
    externalKeyId,
    enabled: key.state === 'Enabled',
    keyUsage,
    kmsKeyArn,
    current,
    materials,
    adopted,
    opensHashedAad,
  }
}

/** Takes one encryption from the durable budget of a key's current material (ARCH-D7). Rejects with, or throws, XksError. */
export function spendEncryptions(
  storage: Pick<Storage, 'snapshot'>,
  budget: Pick<EncryptionBudget, 'spend'>,
): (store: ExternalKeyStore, key: ExternalKey) => Promise<void> | undefined {
  return (_store, { current }) => {
    const material = storage.snapshot.findMaterial(EXTERNAL_SCOPE.region, current.materialId)
    if (!material) throw new XksError('InternalException')
    try {
      return budget.spend(material)?.catch((error: unknown) => Promise.reject(refusal(error)))
    } catch (error) {
      throw refusal(error)
    }
  }
}

function refusal(error: unknown): XksError {
  const code = error instanceof KmsError ? error.code : undefined
  if (code === 'KMSInvalidStateException')
    return new XksError(
      'InvalidStateException',
      'The external key has made as many encryptions as its material allows; rotate it.',
      { cause: error },
    )
  const name =
    code === 'DependencyTimeoutException' ? 'DependencyTimeoutException' : 'InternalException'
  return new XksError(name, undefined, { cause: error })
}
