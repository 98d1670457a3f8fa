import { CKA, CKO } from '../pkcs11/attribute.ts'
import { Pkcs11Error } from '../pkcs11/pkcs11-error.ts'
import type { ObjectHandle, Session } from '../pkcs11/session.ts'
import { fault } from './lane-fault.ts'

/** Of the token: the session copies of a lane are none of them. */
const SECRET_KEYS = [
  { type: CKA.CLASS, value: CKO.SECRET_KEY },
  { type: CKA.TOKEN, value: true },
]

/** One secret key of the token. An entry lives as long as its handle is believed. */
export interface IndexedKey {
  readonly handle: ObjectHandle
  /** A session copy of the key, which calls use in its place. */
  copy: ObjectHandle | undefined
  /** The material whose birth proof this handle has opened since it was last doubted (FM-R5, FM-F08). */
  provenFor: string | undefined
}

/** Every secret key of the token by CKA_ID, read once (FM-F54): a search costs 300 ms at 10,000 keys, a look here none. */
export class ObjectIndex {
  readonly #onGone: (key: IndexedKey) => void
  #byId = new Map<string, IndexedKey[]>()
  #idByHandle = new Map<string, string>()

  /** `onGone` hears of every entry that is dropped one by one; `rebuild` drops all of them silently. */
  constructor(onGone: (key: IndexedKey) => void = () => {}) {
    this.#onGone = onGone
  }

  get size(): number {
    return this.#idByHandle.size
  }

  /**
   * The one key with this CKA_ID, in hex. Without a token call: KEY_UNAVAILABLE with the advice to learn for none,
   * KEY_AMBIGUOUS for several (ARCH-D5).
   */
  only(id: string): IndexedKey {
    const found = this.#byId.get(id)
    const [only] = found ?? []
    if (!only) throw fault('KEY_UNAVAILABLE', 'learn', `no key with CKA_ID ${id} is known`)
    if (found && found.length > 1)
      throw fault('KEY_AMBIGUOUS', 'keep', `${found.length} keys have the CKA_ID ${id}`)
    return only
  }

  has(id: string): boolean {
    return this.#byId.has(id)
  }

  /** Forgets every handle and reads the token: one search, then the CKA_ID of each key. */
  rebuild(session: Session): void {
    const handles = session.find(SECRET_KEYS)
    this.#byId = new Map()
    this.#idByHandle = new Map()
    for (const handle of handles) this.#read(session, handle)
  }

  /**
   * Takes up what is new and drops what is gone. An empty or shrunken token is believed only after `assertCanary` returned:
   * SoftHSM2 answers OK with no objects when its directory has vanished (FM-R6, FM-F04).
   */
  learn(session: Session, assertCanary: () => void): void {
    const handles = session.find(SECRET_KEYS)
    const shown = new Set(handles.map(nameOf))
    const vanished = [...this.#idByHandle.keys()].filter((name) => !shown.has(name))
    if (handles.length === 0 || vanished.length > 0) assertCanary()
    for (const name of vanished) this.#remove(name)
    // A token may give the number of an object that is gone to another one: what was proven is proven anew.
    if (vanished.length > 0) this.doubtAll()
    for (const handle of handles)
      if (!this.#idByHandle.has(nameOf(handle))) this.#read(session, handle)
  }

  /** Takes up a key that this lane has made. */
  add(id: string, handle: ObjectHandle): void {
    if (this.#idByHandle.has(nameOf(handle))) return
    this.#idByHandle.set(nameOf(handle), id)
    const entry: IndexedKey = { handle, copy: undefined, provenFor: undefined }
    const others = this.#byId.get(id)
    if (others) others.push(entry)
    else this.#byId.set(id, [entry])
  }

  drop(id: string): void {
    for (const entry of this.#byId.get(id) ?? []) {
      this.#idByHandle.delete(nameOf(entry.handle))
      this.#onGone(entry)
    }
    this.#byId.delete(id)
  }

  /** Every handle of a token object is to be proven anew. What has a copy is used under the copy's own handle. */
  doubtAll(): void {
    for (const entries of this.#byId.values())
      for (const entry of entries) if (!entry.copy) entry.provenFor = undefined
  }

  #read(session: Session, handle: ObjectHandle): void {
    try {
      const id = session.findAttribute(handle, CKA.ID)?.toString('hex') ?? ''
      // FM-F22: SoftHSM2 shows a key that another process is making before it has its CKA_ID. Left out, it is read again.
      if (id !== '') this.add(id, handle)
    } catch (error) {
      // Destroyed by somebody between the search and this look.
      if (!(error instanceof Pkcs11Error) || error.ckrClass !== 'HANDLE') throw error
    }
  }

  #remove(name: string): void {
    const id = this.#idByHandle.get(name)
    if (id === undefined) return
    this.#idByHandle.delete(name)
    const entries = this.#byId.get(id) ?? []
    const rest = entries.filter(({ handle }) => nameOf(handle) !== name)
    for (const entry of entries) if (!rest.includes(entry)) this.#onGone(entry)
    if (rest.length > 0) this.#byId.set(id, rest)
    else this.#byId.delete(id)
  }
}

/** What calls are made with. */
export function inUse({ copy, handle }: IndexedKey): ObjectHandle {
  return copy ?? handle
}

function nameOf(handle: ObjectHandle): string {
  return handle.toString('hex')
}
