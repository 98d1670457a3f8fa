import type { AdministrationEntry } from '../audit/administration-record.ts'
import type { ExternalFacts } from '../crypto/external-facts.ts'
import { systemClock } from '../kms/clock.ts'
import {
  adoptExternalKey,
  makeExternalKey,
  pinExternalKey,
  setExternalKeyState,
} from '../kms/external-keys.ts'
import type { Key } from '../kms/key.ts'
import type { MakingContext } from '../kms/make-material.ts'
import { rotateExternalKey } from '../kms/rotation.ts'
import type { StorageSnapshot } from '../storage/storage.ts'
import type { AdoptedName } from '../token/lane-protocol.ts'
import type { AdoptedKey } from '../token/token-custody.ts'
import type { Installation } from './installation.ts'
import { findXksKey, isoTime } from './key-report.ts'
import type { TokenConnection } from './token-connection.ts'
import { storeUnknown } from './xks-credential.ts'

/** An external key as the command line shows it. */
export interface XksKeySummary {
  readonly storeName: string
  readonly externalKeyId: string
  readonly arn: string
  readonly state: string
  readonly keyUsage: readonly string[]
  readonly kmsKeyArn: string | undefined
  readonly adopted: boolean
  readonly opensHashedAad: boolean
  readonly materials: number
  readonly currentMaterialId: string
  readonly createdAt: string
  /** False after a rebuild, until a store of that name is made or declared. */
  readonly storeExists: boolean
}

/** Makes an AES-256 key in the token. Throws Error in words: no such store, a name in use, a token without GCM. */
export async function createXksKey(installation: Installation, facts: ExternalFacts): Promise<Key> {
  assertStoreExists(installation.storage.snapshot, facts.storeName)
  const context = await makingContext(installation)
  return installation.administration.recorded((note) =>
    makeExternalKey(context, facts, (draft, key) => note(draft, entryOf('CreateExternalKey', key))),
  )
}

export interface AdoptWish {
  readonly facts: ExternalFacts
  readonly name: AdoptedName
  readonly acceptImported: boolean
  readonly encryptionsSoFar: number
}

/** Takes a key that is in the token already into use. What it says about itself is in the answer. */
export async function adoptXksKey(
  installation: Installation,
  { facts, name, acceptImported, encryptionsSoFar }: AdoptWish,
): Promise<{ readonly key: Key; readonly adopted: AdoptedKey }> {
  assertStoreExists(installation.storage.snapshot, facts.storeName)
  const context = await makingContext(installation)
  const { custody } = await installation.token()
  let adopted: AdoptedKey | undefined
  const key = await installation.administration.recorded((note) =>
    adoptExternalKey(context, {
      facts,
      encryptionsSoFar,
      adopt: async (origin, turn, planned) => {
        adopted = await custody.adopt(name, { origin, turn, planned, acceptImported })
        return adopted.material
      },
      record: (draft, made) => note(draft, entryOf('AdoptExternalKey', made)),
    }),
  )
  if (!adopted) throw new TypeError('a key was adopted without its token')
  return { key, adopted }
}

/** New material of our own making; what the key had before decrypts for ever. */
export async function rotateXksKey(installation: Installation, key: Key): Promise<Key> {
  const context = await makingContext(installation)
  return installation.administration.recorded((note) =>
    rotateExternalKey(context, key, (draft, rotated) =>
      note(draft, entryOf('RotateExternalKey', rotated)),
    ),
  )
}

export function setXksKeyState(
  { storage, administration }: Installation,
  { arn }: Key,
  state: 'Enabled' | 'Disabled',
): Promise<Key> {
  const eventName = state === 'Enabled' ? 'EnableExternalKey' : 'DisableExternalKey'
  return administration.recorded((note) =>
    setExternalKeyState({ storage }, arn, state, (draft, key) =>
      note(draft, entryOf(eventName, key)),
    ),
  )
}

/** XKS Z-05; undefined takes the pin off. */
export function pinXksKey(
  { storage, administration }: Installation,
  { arn }: Key,
  kmsKeyArn: string | undefined,
): Promise<Key> {
  const eventName = kmsKeyArn === undefined ? 'UnpinExternalKey' : 'PinExternalKey'
  return administration.recorded((note) =>
    pinExternalKey({ storage }, arn, kmsKeyArn, (draft, key) =>
      note(draft, entryOf(eventName, key)),
    ),
  )
}

/** An external key by `store/key`. Throws Error. */
export function getXksKey(snapshot: StorageSnapshot, name: string): Key {
  const key = findXksKey(snapshot, name)
  if (!key) throw new Error(`there is no external key ${name}; see: hsm-bridge xks key list`)
  return key
}

export function summarise(snapshot: StorageSnapshot, key: Key): XksKeySummary {
  if (!key.external) throw new TypeError(`${key.arn} is no external key`)
  const { storeName, externalKeyId, keyUsage, kmsKeyArn, adopted, opensHashedAad } = key.external
  return {
    storeName,
    externalKeyId,
    arn: key.arn,
    state: key.state,
    keyUsage,
    kmsKeyArn,
    adopted,
    opensHashedAad,
    materials: snapshot.materialsOf(key.arn).length,
    currentMaterialId: key.currentMaterialId,
    createdAt: isoTime(key.createdAt),
    storeExists: snapshot.findXksStore(storeName) !== undefined,
  }
}

/** What the audit trail keeps of an external key: all that was settled about it. */
function entryOf(
  eventName: string,
  { arn, external, state, currentMaterialId }: Key,
): AdministrationEntry {
  return {
    eventName,
    parameters: { ...external },
    response: { state, keyMaterialId: currentMaterialId },
    keyArn: arn,
  }
}

function assertStoreExists(snapshot: StorageSnapshot, name: string): void {
  if (!snapshot.findXksStore(name)) throw storeUnknown(name)
}

async function makingContext(installation: Installation): Promise<MakingContext> {
  const { storage, logger } = installation
  const token = await installation.token()
  assertGcmInside(token)
  return {
    storage,
    custody: token.custody,
    clock: systemClock,
    notify: ({ level, message, ...facts }) => logger[level](message, facts),
  }
}

/** ARCH-D7: what AWS KMS wants is AES-GCM with its AAD, computed in the key manager. */
function assertGcmInside({ profile }: Pick<TokenConnection, 'profile'>): void {
  if (profile.aeadScheme !== 'AES_GCM')
    throw new Error(
      `a token of the profile ${profile.name} cannot back external keys: it computes no AES-GCM inside (scheme ${profile.aeadScheme})`,
    )
}
