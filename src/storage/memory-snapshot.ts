import type { Alias } from '../kms/alias.ts'
import type { Key, KeyMaterial, LastUse, Tombstone } from '../kms/key.ts'
import type { Intent } from '../kms/key-storage.ts'
import { AliasIndex } from './alias-index.ts'
import type { Change, Instance } from './change.ts'
import type {
  PrincipalRecord,
  StorageSnapshot,
  XksCredentialRecord,
  XksStoreRecord,
} from './storage.ts'
import { XksIndex } from './xks-index.ts'

/** Everything that the database holds, in memory (ARCH-D12): reads never touch the database. Changed by commits only. */
export class MemorySnapshot implements StorageSnapshot {
  readonly markerSecret: Buffer
  #version: number
  #instance: Instance
  readonly #keys = new Map<string, Key>()
  readonly #scopes = new Map<string, Scope>()
  readonly #materials = new Map<string, KeyMaterial>()
  readonly #materialsByKey = new Map<string, readonly KeyMaterial[]>()
  readonly #aliases = new AliasIndex()
  readonly #intents = new Map<string, Intent>()
  readonly #tombstones = new Map<string, Tombstone>()
  readonly #lastUses = new Map<string, LastUse>()
  readonly #principals = new Map<string, PrincipalRecord>()
  readonly #xks = new XksIndex()
  readonly #anchors = new Map<string, unknown>()
  readonly #latches = new Map<string, unknown>()

  constructor(version: number, instance: Instance, markerSecret: Buffer) {
    this.#version = version
    this.#instance = instance
    this.markerSecret = markerSecret
  }

  get version(): number {
    return this.#version
  }

  get instanceId(): string {
    return this.#instance.instanceId
  }

  get lineage(): number {
    return this.#instance.lineage
  }

  get heartbeat(): number {
    return this.#instance.heartbeat
  }

  get usesRecordedSince(): number {
    return this.#instance.usesRecordedSince
  }

  findKey(arn: string): Key | undefined {
    return this.#keys.get(arn)
  }

  findMaterial(region: string, materialId: string): KeyMaterial | undefined {
    return this.#materials.get(materialName(region, materialId))
  }

  materialsOf(keyArn: string): readonly KeyMaterial[] {
    return this.#materialsByKey.get(keyArn) ?? []
  }

  keysIn(accountId: string, region: string): readonly Key[] {
    return this.#scopes.get(scopeName({ accountId, region }))?.sorted() ?? []
  }

  countKeysIn(accountId: string, region: string): number {
    return this.#scopes.get(scopeName({ accountId, region }))?.size ?? 0
  }

  findAlias(arn: string): Alias | undefined {
    return this.#aliases.find(arn)
  }

  aliasesOf(keyArn: string): readonly Alias[] {
    return this.#aliases.of(keyArn)
  }

  aliasesIn(accountId: string, region: string): readonly Alias[] {
    return this.#aliases.in(accountId, region)
  }

  allKeys(): Iterable<Key> {
    return this.#keys.values()
  }

  allMaterials(): Iterable<KeyMaterial> {
    return this.#materials.values()
  }

  intents(): readonly Intent[] {
    return [...this.#intents.values()]
  }

  findTombstone(arn: string): Tombstone | undefined {
    return this.#tombstones.get(arn)
  }

  findLastUse(keyArn: string): LastUse | undefined {
    return this.#lastUses.get(keyArn)
  }

  findPrincipal(accessKeyId: string): PrincipalRecord | undefined {
    return this.#principals.get(accessKeyId)
  }

  allPrincipals(): Iterable<PrincipalRecord> {
    return this.#principals.values()
  }

  findExternalKey(storeName: string, externalKeyId: string): Key | undefined {
    return this.#xks.findKey(storeName, externalKeyId)
  }

  externalKeysOf(storeName: string): Iterable<Key> {
    return this.#xks.keysOf(storeName)
  }

  hasExternalKeys(storeName: string): boolean {
    return !this.#xks.keysOf(storeName)[Symbol.iterator]().next().done
  }

  findXksStore(name: string): XksStoreRecord | undefined {
    return this.#xks.findStore(name)
  }

  findXksStoreAt(uriPathPrefix: string): XksStoreRecord | undefined {
    return this.#xks.findStoreAt(uriPathPrefix)
  }

  allXksStores(): Iterable<XksStoreRecord> {
    return this.#xks.allStores()
  }

  findXksCredential(accessKeyId: string): XksCredentialRecord | undefined {
    return this.#xks.findCredential(accessKeyId)
  }

  allXksCredentials(): Iterable<XksCredentialRecord> {
    return this.#xks.allCredentials()
  }

  findAnchors(tokenSerial: string): unknown {
    return this.#anchors.get(tokenSerial)
  }

  findLoginLatch(tokenSerial: string): unknown {
    return this.#latches.get(tokenSerial)
  }

  /** Shows what was just committed as `version`. */
  commit(version: number, changes: readonly Change[]): void {
    for (const change of changes) this.#apply(change)
    this.#version = version
  }

  #apply(change: Change): void {
    switch (change.kind) {
      case 'key':
        return this.#putKey(change.key)
      case 'material':
        return this.#putMaterial(change.material)
      case 'bury':
        return this.#bury(change.tombstone)
      case 'last-use':
        this.#lastUses.set(change.keyArn, change.use)
        return
      case 'alias':
        return this.#aliases.put(change.alias)
      case 'drop-alias':
        return this.#aliases.remove(change.aliasArn)
      case 'intent':
        this.#intents.set(change.intent.intentId, change.intent)
        return
      case 'drop-intent':
        this.#intents.delete(change.intentId)
        return
      case 'principal':
        this.#principals.set(change.principal.accessKeyId, change.principal)
        return
      case 'drop-principal':
        this.#principals.delete(change.accessKeyId)
        return
      case 'xks-store':
        return this.#xks.putStore(change.store)
      case 'drop-xks-store':
        return this.#xks.removeStore(change.name)
      case 'xks-credential':
        return this.#xks.putCredential(change.credential)
      case 'drop-xks-credential':
        return this.#xks.removeCredential(change.accessKeyId)
      case 'anchors':
        this.#anchors.set(change.tokenSerial, change.anchors)
        return
      case 'latch':
        if (change.latch === undefined) this.#latches.delete(change.tokenSerial)
        else this.#latches.set(change.tokenSerial, change.latch)
        return
      case 'instance':
        this.#instance = { ...this.#instance, ...change.instance }
        return
      case 'audit':
        return // lies in the database until the spool has it
    }
  }

  #putKey(key: Key): void {
    this.#keys.set(key.arn, key)
    if (key.external) this.#xks.putKey(key)
    const name = scopeName(key)
    const scope = this.#scopes.get(name) ?? new Scope()
    this.#scopes.set(name, scope)
    scope.put(key)
  }

  #putMaterial(changed: KeyMaterial): void {
    const { region, keyArn } = changed
    const { materialId } = changed.material
    // One object for as long as the process lives, also when another daemon tells of it anew.
    const known = this.findMaterial(region, materialId)
    const material = known ? { ...changed, material: known.material } : changed
    this.#materials.set(materialName(region, materialId), material)
    this.#materialsByKey.set(keyArn, withMaterial(this.materialsOf(keyArn), material))
  }

  #bury(tombstone: Tombstone): void {
    const { arn, region } = tombstone
    for (const { material } of this.materialsOf(arn))
      this.#materials.delete(materialName(region, material.materialId))
    this.#materialsByKey.delete(arn)
    this.#xks.removeKey(this.#keys.get(arn))
    this.#keys.delete(arn)
    this.#aliases.removeOf(arn)
    this.#lastUses.delete(arn)
    this.#scopes.get(scopeName(tombstone))?.remove(arn)
    this.#tombstones.set(arn, tombstone)
  }
}

/** The keys of one account in one region. */
class Scope {
  readonly #keys = new Map<string, Key>()
  #sorted: readonly Key[] | undefined

  get size(): number {
    return this.#keys.size
  }

  put(key: Key): void {
    this.#keys.set(key.arn, key)
    this.#sorted = undefined
  }

  remove(arn: string): void {
    this.#keys.delete(arn)
    this.#sorted = undefined
  }

  sorted(): readonly Key[] {
    this.#sorted ??= [...this.#keys.values()].sort((a, b) => (a.keyId < b.keyId ? -1 : 1))
    return this.#sorted
  }
}

/** The list with `material` in the place of its former self, or in its place by age. */
export function withMaterial(
  materials: readonly KeyMaterial[],
  material: KeyMaterial,
): readonly KeyMaterial[] {
  const others = materials.filter((one) => one.material.materialId !== material.material.materialId)
  return [...others, material].sort((a, b) => a.lineage - b.lineage)
}

export function materialName(region: string, materialId: string): string {
  return `${region}/${materialId}`
}

function scopeName({ accountId, region }: Pick<Key, 'accountId' | 'region'>): string {
  return `${accountId}/${region}`
}
