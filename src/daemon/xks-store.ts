import { readFileSync } from 'node:fs'
import type { AdministrationEntry } from '../audit/administration-record.ts'
import { compilePolicy } from '../policy/compile-policy.ts'
import { PolicyError } from '../policy/policy-error.ts'
import type { Storage, StorageDraft, XksStoreRecord } from '../storage/storage.ts'
import { type NoteChange, UNRECORDED } from './administration.ts'
import { ConfigError } from './config-error.ts'
import { codeOf } from './private-file.ts'
import type { ReloadReport } from './reload-report.ts'
import type { DeclaredStore, XksConfig } from './xks-config.ts'
import { storeUnknown } from './xks-credential.ts'

export type XksStoreWish = Omit<XksStoreRecord, 'createdAt'>

/** Names of stores. */
type AppliedStores = Pick<ReloadReport, 'made' | 'changed'>

/** Makes a store. Throws PolicyError, StorageError for a prefix in use, Error for a name in use. */
export async function makeXksStore(
  storage: Storage,
  wish: XksStoreWish,
  note: NoteChange = UNRECORDED,
): Promise<XksStoreRecord> {
  if (wish.policy !== undefined) compilePolicy(wish.policy, 'xks') // XKS Z-06
  return await storage.change((draft) => {
    if (draft.findXksStore(wish.name)) throw new Error(`the store ${wish.name} exists already`)
    const store = { ...wish, createdAt: Date.now() }
    draft.putXksStore(store)
    note(draft, { eventName: 'CreateExternalKeyStore', parameters: parametersOf(wish) })
    return store
  })
}

/** Lets a store be used, or refuses every use (XKS X-02). One that is in that state already stays as it is. */
export function setXksStoreEnabled(
  storage: Storage,
  name: string,
  enabled: boolean,
  note: NoteChange = UNRECORDED,
): Promise<XksStoreRecord> {
  return storage.change((draft) => {
    const store = draft.findXksStore(name)
    if (!store) throw storeUnknown(name)
    if (store.enabled === enabled) return store
    const changed = { ...store, enabled }
    draft.putXksStore(changed)
    const eventName = enabled ? 'EnableExternalKeyStore' : 'DisableExternalKeyStore'
    note(draft, { eventName, parameters: { storeName: name } })
    return changed
  })
}

/** Removes a store and its credentials. Refuses while it has keys: AWS KMS may still hold ciphertexts of theirs. */
export function deleteXksStore(
  storage: Storage,
  name: string,
  note: NoteChange = UNRECORDED,
): Promise<void> {
  return storage.change((draft) => {
    if (!draft.findXksStore(name)) throw storeUnknown(name)
    if (draft.hasExternalKeys(name))
      throw new Error(
        `the store ${name} has keys, and a key is never deleted here; disable the keys, or the store`,
      )
    draft.removeXksStore(name)
    const gone = [...storage.snapshot.allXksCredentials()].filter((it) => it.storeName === name)
    const removedAccessKeyIds = gone.map(({ accessKeyId }) => accessKeyId)
    note(draft, {
      eventName: 'DeleteExternalKeyStore',
      parameters: { storeName: name },
      response: { removedAccessKeyIds },
    })
  })
}

/** The declared stores with their policies read and compiled. Throws ConfigError naming the option; touches nothing. */
export function readDeclaredStores(config: XksConfig | undefined): readonly XksStoreWish[] {
  return (config?.stores ?? []).map((store, index) => {
    const { policyFile, ...wish } = store
    return { ...wish, policy: policyFile === undefined ? undefined : readPolicy(store, index) }
  })
}

/**
 * Makes storage say what the file says of the declared stores, in one change or not at all. Where they say the same already
 * nothing is asked of storage, which may be read-only or away.
 */
export async function applyDeclaredStores(
  storage: Storage,
  wishes: readonly XksStoreWish[],
  record: (draft: StorageDraft, applied: AppliedStores) => void = () => undefined,
): Promise<AppliedStores> {
  if (wishes.every((wish) => isSame(storage.snapshot.findXksStore(wish.name), wish)))
    return { made: [], changed: [] }
  return await storage.change((draft) => {
    const report = { made: [] as string[], changed: [] as string[] }
    const differing = wishes
      .map((wish) => ({ wish, found: draft.findXksStore(wish.name) }))
      .filter(({ wish, found }) => !isSame(found, wish))
    for (const { wish, found } of differing) if (found) leavePrefix(draft, found, wish)
    for (const { wish, found } of differing) {
      draft.putXksStore({ ...wish, createdAt: found?.createdAt ?? Date.now() })
      report[found ? 'changed' : 'made'].push(wish.name)
    }
    if (differing.length > 0) record(draft, report)
    return report
  })
}

/** What the audit trail keeps of declared stores that were made or changed: what they are now. */
export function declarationEntry(
  eventName: string,
  { made, changed }: AppliedStores,
  wishes: readonly XksStoreWish[],
): AdministrationEntry {
  const touched = wishes.filter(({ name }) => made.includes(name) || changed.includes(name))
  return { eventName, parameters: { made, changed, stores: touched.map(parametersOf) } }
}

function parametersOf({ name: storeName, ...rest }: XksStoreWish) {
  return { storeName, ...rest }
}

/**
 * XKS U-10: no two stores have one prefix, not even between two steps of a change. So whoever moves goes to a place of its own
 * first, which no prefix can be, and stores may take each other's.
 */
function leavePrefix(draft: StorageDraft, store: XksStoreRecord, wish: XksStoreWish): void {
  if (store.uriPathPrefix !== wish.uriPathPrefix)
    draft.putXksStore({ ...store, uriPathPrefix: `moving:${store.name}` })
}

function isSame(one: XksStoreRecord | undefined, other: XksStoreWish): boolean {
  return (
    one !== undefined &&
    one.uriPathPrefix === other.uriPathPrefix &&
    one.regions.join() === other.regions.join() &&
    one.requestsPerSecond === other.requestsPerSecond &&
    one.enabled === other.enabled &&
    one.policy === other.policy
  )
}

function readPolicy({ policyFile = '', name }: DeclaredStore, index: number): string {
  const option = `xks.stores.${index}.policyFile`
  let text: string
  try {
    text = readFileSync(policyFile, 'utf8')
  } catch (error) {
    throw new ConfigError(option, `cannot read ${policyFile} (${codeOf(error)})`, { cause: error })
  }
  try {
    compilePolicy(text, 'xks')
    return text
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error
    const message = `${policyFile}, the policy of ${name}: ${error.message}`
    throw new ConfigError(option, message, { cause: error })
  }
}
