import type { Key } from '../kms/key.ts'
import type { XksCredentialRecord, XksStoreRecord } from './storage.ts'

const NO_KEYS: ReadonlyMap<string, Key> = new Map()

/** External key stores by name and by URI path prefix, their credentials by id, and external keys by store and their name in it. */
export class XksIndex {
  readonly #stores = new Map<string, XksStoreRecord>()
  readonly #storesByPrefix = new Map<string, XksStoreRecord>()
  readonly #credentials = new Map<string, XksCredentialRecord>()
  readonly #keys = new Map<string, Map<string, Key>>()

  findStore(name: string): XksStoreRecord | undefined {
    return this.#stores.get(name)
  }

  findStoreAt(uriPathPrefix: string): XksStoreRecord | undefined {
    return this.#storesByPrefix.get(uriPathPrefix)
  }

  allStores(): Iterable<XksStoreRecord> {
    return this.#stores.values()
  }

  findCredential(accessKeyId: string): XksCredentialRecord | undefined {
    return this.#credentials.get(accessKeyId)
  }

  allCredentials(): Iterable<XksCredentialRecord> {
    return this.#credentials.values()
  }

  findKey(storeName: string, externalKeyId: string): Key | undefined {
    return this.#keys.get(storeName)?.get(externalKeyId)
  }

  keysOf(storeName: string): Iterable<Key> {
    return (this.#keys.get(storeName) ?? NO_KEYS).values()
  }

  putStore(store: XksStoreRecord): void {
    const before = this.#stores.get(store.name)
    if (before) this.#leavePrefix(before)
    this.#stores.set(store.name, store)
    this.#storesByPrefix.set(store.uriPathPrefix, store)
  }

  removeStore(name: string): void {
    const store = this.#stores.get(name)
    if (!store) return
    this.#stores.delete(name)
    this.#leavePrefix(store)
    for (const { accessKeyId, storeName } of this.#credentials.values())
      if (storeName === name) this.#credentials.delete(accessKeyId)
  }

  putCredential(credential: XksCredentialRecord): void {
    this.#credentials.set(credential.accessKeyId, credential)
  }

  removeCredential(accessKeyId: string): void {
    this.#credentials.delete(accessKeyId)
  }

  putKey(key: Key): void {
    if (!key.external) return
    const { storeName, externalKeyId } = key.external
    const keys = this.#keys.get(storeName) ?? new Map<string, Key>()
    this.#keys.set(storeName, keys)
    keys.set(externalKeyId, key)
  }

  removeKey(key: Key | undefined): void {
    if (key?.external) this.#keys.get(key.external.storeName)?.delete(key.external.externalKeyId)
  }

  /** Another store may have taken it over in the same change. */
  #leavePrefix(store: XksStoreRecord): void {
    const { uriPathPrefix } = store
    if (this.#storesByPrefix.get(uriPathPrefix) === store)
      this.#storesByPrefix.delete(uriPathPrefix)
  }
}
