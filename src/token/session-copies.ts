import { CKA } from '../pkcs11/attribute.ts'
import type { CkrClass } from '../pkcs11/ckr.ts'
import { Pkcs11Error } from '../pkcs11/pkcs11-error.ts'
import type { ObjectHandle, Session } from '../pkcs11/session.ts'
import { assertCopyNeverLeaves, readBackCustodyAttributes } from '../pkcs11/template.ts'
import type { VendorProfile } from '../pkcs11/vendor-profile.ts'
import type { IndexedKey } from './object-index.ts'

const AS_SESSION_OBJECT = [{ type: CKA.TOKEN, value: false }]

/** A token that will not copy this key, or no more keys: its own object serves as well. */
const REFUSALS: ReadonlySet<CkrClass> = new Set(['USAGE', 'UNSUPPORTED', 'CAPACITY'])

export interface SessionCopiesOptions {
  readonly openSession: () => Session
  readonly profile: Pick<VendorProfile, 'reportsHistory'>
  /** How many copies there may be; 0 makes none. */
  readonly most: number
}

/**
 * Session copies of token keys, in a session of their own that lives as long as they do (profile `sessionCopies`). SoftHSM2
 * 2.6.1 looks at the file of a token object in each C_*Init, and lists the whole token directory there once after every write
 * of any process: 170–740 ms at 10,000 keys, and 34 instead of 11 µs for an encryption without any write. Measured 2026-11-22.
 *
 * A copy is the same key under another handle: sensitive, never extractable, private, inside the module. It goes with the entry
 * of the key, with its session, and with the process.
 */
export class SessionCopies {
  readonly #options: SessionCopiesOptions
  #session: Session | undefined
  #count = 0

  constructor(options: SessionCopiesOptions) {
    this.#options = options
  }

  /**
   * Gives the key a copy, unless it has one, the lane has enough, or the token will not. An adopted key may have been imported.
   * Throws Pkcs11Error and TOKEN_LIED.
   */
  make(key: IndexedKey, isAdopted = false): void {
    if (key.copy || this.#count >= this.#options.most) return
    this.#session ??= this.#options.openSession()
    const copy = findCopy(this.#session, key.handle)
    if (!copy) return
    this.#count += 1
    key.copy = copy
    try {
      const attributes = readBackCustodyAttributes(this.#session, copy, this.#options.profile)
      assertCopyNeverLeaves(attributes, isAdopted)
    } catch (error) {
      this.destroy(key)
      throw error
    }
  }

  /** Destroys the copy of a key that is gone. One that is gone already is no error. */
  destroy(key: IndexedKey): void {
    const { copy } = key
    if (!copy) return
    key.copy = undefined
    this.#count -= 1
    try {
      this.#session?.destroyObject(copy)
    } catch (error) {
      if (!(error instanceof Pkcs11Error)) throw error
    }
  }

  /** Closes the session, and every copy is gone. Who calls this forgets the entries, too. */
  forget(): void {
    this.#session?.close()
    this.#session = undefined
    this.#count = 0
  }
}

function findCopy(session: Session, key: ObjectHandle): ObjectHandle | undefined {
  try {
    return session.copyObject(key, AS_SESSION_OBJECT)
  } catch (error) {
    if (error instanceof Pkcs11Error && REFUSALS.has(error.ckrClass)) return undefined
    throw error
  }
}
