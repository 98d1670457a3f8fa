import type { Alias } from '../kms/alias.ts'
import type { AuditLine } from '../kms/audit-trail.ts'
import type { Key, KeyMaterial, LastUse, Tombstone } from '../kms/key.ts'
import type { Intent } from '../kms/key-storage.ts'
import { byAliasName } from './alias-index.ts'
import type { Change, Instance } from './change.ts'
import { StorageError } from './storage-error.ts'
import { materialName, withMaterial } from './memory-snapshot.ts'
import type {
  PrincipalRecord,
  StorageDraft,
  StorageSnapshot,
  XksCredentialRecord,
  XksStoreRecord,
} from './storage.ts'

/** What a draft reads from: the committed state, or a draft that will be committed before it in the same transaction. */
export type Ground = Pick<
  StorageSnapshot,
  | 'findKey'
  | 'findMaterial'
  | 'materialsOf'
  | 'findTombstone'
  | 'findLastUse'
  | 'findAlias'
  | 'aliasesOf'
  | 'findPrincipal'
  | 'findExternalKey'
  | 'findXksStore'
  | 'findXksStoreAt'
  | 'findXksCredential'
  | 'hasExternalKeys'
  | 'lineage'
>

/** Collects what one change writes and shows it, over its ground, to the change itself. */
export class ChangeDraft implements StorageDraft {
  readonly changes: Change[] = []
  readonly #ground: Ground
  #instance: Partial<Instance> = {}
  readonly #keys = new Map<string, Key | undefined>()
  readonly #materials = new Map<string, KeyMaterial | undefined>()
  readonly #materialsByKey = new Map<string, readonly KeyMaterial[]>()
  readonly #tombstones = new Map<string, Tombstone>()
  readonly #lastUses = new Map<string, LastUse>()
  readonly #aliases = new Map<string, Alias | undefined>()
  readonly #principals = new Map<string, PrincipalRecord | undefined>()
  /** By store and name in it: no name of a store holds a slash. */
  readonly #externalKeys = new Map<string, Key | undefined>()
  readonly #xksStores = new Map<string, XksStoreRecord | undefined>()
  readonly #xksCredentials = new Map<string, XksCredentialRecord | undefined>()

  constructor(ground: Ground) {
    this.#ground = ground
  }

  get lineage(): number {
    return this.#instance.lineage ?? this.#ground.lineage
  }

  findKey(arn: string): Key | undefined {
    return this.#keys.has(arn) ? this.#keys.get(arn) : this.#ground.findKey(arn)
  }

  findMaterial(region: string, materialId: string): KeyMaterial | undefined {
    const name = materialName(region, materialId)
    return this.#materials.has(name)
      ? this.#materials.get(name)
      : this.#ground.findMaterial(region, materialId)
  }

  materialsOf(keyArn: string): readonly KeyMaterial[] {
    return this.#materialsByKey.get(keyArn) ?? this.#ground.materialsOf(keyArn)
  }

  findTombstone(arn: string): Tombstone | undefined {
    return this.#tombstones.get(arn) ?? this.#ground.findTombstone(arn)
  }

  findLastUse(keyArn: string): LastUse | undefined {
    return this.#lastUses.get(keyArn) ?? this.#ground.findLastUse(keyArn)
  }

  findAlias(arn: string): Alias | undefined {
    return this.#aliases.has(arn) ? this.#aliases.get(arn) : this.#ground.findAlias(arn)
  }

  aliasesOf(keyArn: string): readonly Alias[] {
    const before = this.#ground.aliasesOf(keyArn)
    if (this.#aliases.size === 0) return before
    const untouched = before.filter(({ arn }) => !this.#aliases.has(arn))
    const touched = [...this.#aliases.values()].filter((alias) => alias !== undefined)
    const mine = touched.filter(({ targetKeyArn }) => targetKeyArn === keyArn)
    return [...untouched, ...mine].sort(byAliasName)
  }

  findPrincipal(accessKeyId: string): PrincipalRecord | undefined {
    return this.#principals.has(accessKeyId)
      ? this.#principals.get(accessKeyId)
      : this.#ground.findPrincipal(accessKeyId)
  }

  findExternalKey(storeName: string, externalKeyId: string): Key | undefined {
    const name = `${storeName}/${externalKeyId}`
    return this.#externalKeys.has(name)
      ? this.#externalKeys.get(name)
      : this.#ground.findExternalKey(storeName, externalKeyId)
  }

  hasExternalKeys(storeName: string): boolean {
    const mine = [...this.#externalKeys.values()].some(
      (key) => key?.external?.storeName === storeName,
    )
    return mine || this.#ground.hasExternalKeys(storeName)
  }

  findXksStore(name: string): XksStoreRecord | undefined {
    return this.#xksStores.has(name) ? this.#xksStores.get(name) : this.#ground.findXksStore(name)
  }

  findXksStoreAt(uriPathPrefix: string): XksStoreRecord | undefined {
    const mine = [...this.#xksStores.values()].find((it) => it?.uriPathPrefix === uriPathPrefix)
    if (mine) return mine
    const before = this.#ground.findXksStoreAt(uriPathPrefix)
    return before && !this.#xksStores.has(before.name) ? before : undefined
  }

  findXksCredential(accessKeyId: string): XksCredentialRecord | undefined {
    const credential = this.#xksCredentials.has(accessKeyId)
      ? this.#xksCredentials.get(accessKeyId)
      : this.#ground.findXksCredential(accessKeyId)
    return credential && this.findXksStore(credential.storeName) ? credential : undefined
  }

  putKey(key: Key): Key {
    const latest = this.findKey(key.arn)
    if (latest && latest.rowVersion !== key.rowVersion)
      throw new TypeError(`a change of ${key.arn} was made from an older record of it`) // FM-F27
    const next = { ...key, rowVersion: (latest?.rowVersion ?? 0) + 1 }
    this.#keys.set(key.arn, next)
    this.#noteExternal(key, next)
    this.changes.push({ kind: 'key', key: next })
    return next
  }

  putMaterial(material: KeyMaterial): void {
    const { region, keyArn } = material
    const { materialId } = material.material
    const isNew = this.findMaterial(region, materialId) === undefined
    this.#materialsByKey.set(keyArn, withMaterial(this.materialsOf(keyArn), material))
    this.#materials.set(materialName(region, materialId), material)
    this.changes.push({ kind: 'material', material, isNew })
  }

  putLastUse(keyArn: string, use: LastUse): void {
    this.#lastUses.set(keyArn, use)
    this.changes.push({ kind: 'last-use', keyArn, use })
  }

  putAlias(alias: Alias): void {
    const isNew = this.findAlias(alias.arn) === undefined
    this.#aliases.set(alias.arn, alias)
    this.changes.push({ kind: 'alias', alias, isNew })
  }

  removeAlias(aliasArn: string): void {
    this.#aliases.set(aliasArn, undefined)
    this.changes.push({ kind: 'drop-alias', aliasArn })
  }

  buryKey(tombstone: Tombstone): void {
    const { arn, region } = tombstone
    for (const alias of this.aliasesOf(arn)) this.#aliases.set(alias.arn, undefined)
    for (const { material } of this.materialsOf(arn))
      this.#materials.set(materialName(region, material.materialId), undefined)
    this.#materialsByKey.set(arn, [])
    this.#noteExternal(this.findKey(arn), undefined)
    this.#keys.set(arn, undefined)
    this.#tombstones.set(arn, tombstone)
    this.changes.push({ kind: 'bury', tombstone })
  }

  putIntent(intent: Intent): void {
    this.changes.push({ kind: 'intent', intent })
  }

  dropIntent(intentId: string): void {
    this.changes.push({ kind: 'drop-intent', intentId })
  }

  nextLineage(): number {
    const lineage = this.lineage + 1
    this.#setInstance({ lineage })
    return lineage
  }

  setHeartbeat(heartbeat: number): void {
    this.#setInstance({ heartbeat })
  }

  adoptInstance(instanceId: string, lineage: number): void {
    this.#setInstance({ instanceId, lineage })
  }

  addAuditLine(line: AuditLine): void {
    this.changes.push({ kind: 'audit', line })
  }

  putPrincipal(principal: PrincipalRecord): void {
    const isNew = this.findPrincipal(principal.accessKeyId) === undefined
    this.#principals.set(principal.accessKeyId, principal)
    this.changes.push({ kind: 'principal', principal, isNew })
  }

  removePrincipal(accessKeyId: string): void {
    this.#principals.set(accessKeyId, undefined)
    this.changes.push({ kind: 'drop-principal', accessKeyId })
  }

  putXksStore(store: XksStoreRecord): void {
    const holder = this.findXksStoreAt(store.uriPathPrefix)
    if (holder && holder.name !== store.name)
      throw new StorageError(
        `the URI path prefix '${store.uriPathPrefix}' belongs to the store ${holder.name}`,
      )
    const isNew = this.findXksStore(store.name) === undefined
    this.#xksStores.set(store.name, store)
    this.changes.push({ kind: 'xks-store', store, isNew })
  }

  removeXksStore(name: string): void {
    this.#xksStores.set(name, undefined)
    this.changes.push({ kind: 'drop-xks-store', name })
  }

  putXksCredential(credential: XksCredentialRecord): void {
    this.#xksCredentials.set(credential.accessKeyId, credential)
    this.changes.push({ kind: 'xks-credential', credential })
  }

  removeXksCredential(accessKeyId: string): void {
    this.#xksCredentials.set(accessKeyId, undefined)
    this.changes.push({ kind: 'drop-xks-credential', accessKeyId })
  }

  putAnchors(tokenSerial: string, anchors: unknown): void {
    this.changes.push({ kind: 'anchors', tokenSerial, anchors })
  }

  putLoginLatch(tokenSerial: string, latch: unknown): void {
    this.changes.push({ kind: 'latch', tokenSerial, latch })
  }

  #noteExternal(key: Key | undefined, next: Key | undefined): void {
    if (key?.external)
      this.#externalKeys.set(`${key.external.storeName}/${key.external.externalKeyId}`, next)
  }

  #setInstance(instance: Partial<Instance>): void {
    this.#instance = { ...this.#instance, ...instance }
    this.changes.push({ kind: 'instance', instance })
  }
}
