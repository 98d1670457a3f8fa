import type { ExternalFacts } from '../crypto/external-facts.ts'
import type { Key, KeyMaterial } from '../kms/key.ts'
import type { StorageSnapshot } from '../storage/storage.ts'
import type { ShowReply } from '../token/lane-protocol.ts'
import type { Installation } from './installation.ts'

/** A key as storage knows it, and each of its materials as the token shows it in this moment. */
export interface KeyReport
  extends Pick<
    Key,
    | 'arn'
    | 'keyId'
    | 'accountId'
    | 'region'
    | 'description'
    | 'state'
    | 'keySpec'
    | 'keyUsage'
    | 'origin'
    | 'policy'
  > {
  readonly createdAt: string
  readonly deletionAt: string | undefined
  readonly onDemandRotations: number
  /** Of an external key: its store, its name there, and who may use it. */
  readonly external: ExternalFacts | undefined
  /** Newest first. */
  readonly materials: readonly MaterialReport[]
}

export interface MaterialReport {
  readonly materialId: string
  readonly current: boolean
  readonly scheme: string
  readonly lineage: number
  readonly createdAt: string
  readonly encryptionsReserved: number
  /** Attributes read live and the birth proof opened now, or why that was not possible. */
  readonly token: ShowReply | { readonly problem: string }
}

/** Throws Error when no key, or more than one, has that name. */
export async function reportKey(installation: Installation, name: string): Promise<KeyReport> {
  const { snapshot } = installation.storage
  const key = getKeyNamed(snapshot, name)
  const { arn, keyId, accountId, region, description, state, keySpec, keyUsage, origin, policy } =
    key
  const materials: MaterialReport[] = []
  for (const made of snapshot.materialsOf(arn).toReversed()) {
    materials.push(await reportMaterial(installation, made, key.currentMaterialId))
  }
  return {
    ...{ arn, keyId, accountId, region, description, state, keySpec, keyUsage, origin, policy },
    createdAt: isoTime(key.createdAt),
    deletionAt: key.deletionAt === undefined ? undefined : isoTime(key.deletionAt),
    onDemandRotations: key.onDemandRotations,
    external: key.external,
    materials,
  }
}

export async function reportMaterial(
  installation: Installation,
  { material, lineage, createdAt, encryptionsReserved }: KeyMaterial,
  currentMaterialId: string,
): Promise<MaterialReport> {
  return {
    materialId: material.materialId,
    current: material.materialId === currentMaterialId,
    scheme: material.scheme,
    lineage,
    createdAt: isoTime(createdAt),
    encryptionsReserved,
    token: await showNow(installation, material),
  }
}

async function showNow(
  installation: Installation,
  material: KeyMaterial['material'],
): Promise<MaterialReport['token']> {
  try {
    const { custody } = await installation.token()
    return await custody.show(material)
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) }
  }
}

/** A key by ARN, by id alone where that is enough, or an external one by `store/key`. */
export function getKeyNamed(snapshot: StorageSnapshot, name: string): Key {
  const exact = snapshot.findKey(name) ?? findXksKey(snapshot, name)
  if (exact) return exact
  const named = [...snapshot.allKeys()].filter(({ keyId }) => keyId === name)
  const [only] = named
  if (!only) throw new Error(`there is no key ${name}; see: hsm-bridge key list`)
  if (named.length > 1) throw new Error(`${named.length} keys have the id ${name}; name the ARN`)
  return only
}

/** An external key by `store/key`. */
export function findXksKey(snapshot: StorageSnapshot, name: string): Key | undefined {
  const [storeName = '', externalKeyId = ''] = name.split('/')
  return snapshot.findExternalKey(storeName, externalKeyId)
}

export function isoTime(epochMs: number): string {
  return new Date(epochMs).toISOString()
}
