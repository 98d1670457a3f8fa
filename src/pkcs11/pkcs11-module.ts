import { realpathSync, statSync } from 'node:fs'
import { dirname, isAbsolute } from 'node:path'
import type { TokenInfo as NativeTokenInfo } from 'pkcs11js'
import pkcs11js from 'pkcs11js'
import { CustodyError } from '../crypto/custody-error.ts'
import { CKR } from './ckr.ts'
import { assertHandle, assertText } from './native-argument.ts'
import { Pkcs11Error, pkcs11ErrorOf } from './pkcs11-error.ts'
import { Session } from './session.ts'
import type { VendorProfile } from './vendor-profile.ts'

/** CK_SLOT_ID. Numbers change between runs: find slots by the token in them. */
export type SlotHandle = Buffer

export interface ModuleOptions {
  /** Absolute path of the shared library. */
  readonly modulePath: string
  /** C_Initialize's pReserved string, for modules that take one. */
  readonly libraryParameters?: string
  readonly profile: Pick<VendorProfile, 'ambiguousCkrs' | 'readWriteSessionsOnly'>
}

export interface TokenInfo {
  readonly label: string
  readonly serial: string
  readonly manufacturer: string
  readonly model: string
  /** Versions, `major.minor`. */
  readonly hardware: string
  readonly firmware: string
  readonly initialized: boolean
  readonly loginRequired: boolean
  readonly userPinInitialized: boolean
  /** At least one wrong PIN since the last good one. */
  readonly userPinCountLow: boolean
  /** The next wrong PIN locks the user out. */
  readonly userPinFinalTry: boolean
  readonly userPinLocked: boolean
  /** Sessions that one application may open; `undefined` when the token names no limit. */
  readonly maxSessions: number | undefined
}

const CKF_OS_LOCKING_OK = 2
const CKF_RW_SESSION = 2
const CKF_SERIAL_SESSION = 4
const CKU_SO = 0
const CKU_USER = 1
const TOKEN_LABEL_BYTES = 32

// CK_EFFECTIVELY_INFINITE, and CK_UNAVAILABLE_INFORMATION as the binding cuts it to 32 bits.
const NO_SESSION_LIMIT = new Set([0, 0xffff_ffff])

/** CK_TOKEN_INFO.flags */
const TOKEN_FLAGS = {
  loginRequired: 0x0000_0004,
  userPinInitialized: 0x0000_0008,
  initialized: 0x0000_0400,
  userPinCountLow: 0x0001_0000,
  userPinFinalTry: 0x0002_0000,
  userPinLocked: 0x0004_0000,
} as const

/** A module whose PKCS11 object is collected is unloaded without C_Finalize: everything opened stays until the process ends. */
const opened = new Set<Pkcs11Module>()

/**
 * Loads and initialises a PKCS#11 module. Throws TypeError for a path that is not absolute, CustodyError DEVICE_GONE when
 * the library cannot be loaded or everybody may replace it (AT-K05), Pkcs11Error when it refuses to start.
 */
export function openModule(options: ModuleOptions): Pkcs11Module {
  const module = new Pkcs11Module(options)
  opened.add(module)
  return module
}

/** One loaded and initialised PKCS#11 module: its slots, tokens and sessions. */
export class Pkcs11Module {
  readonly #native = new pkcs11js.PKCS11()
  readonly #ambiguous: ReadonlySet<string>
  readonly #readWriteOnly: boolean

  /** Use `openModule`. */
  constructor(options: ModuleOptions) {
    this.#ambiguous = new Set(options.profile.ambiguousCkrs)
    this.#readWriteOnly = options.profile.readWriteSessionsOnly
    this.#load(options.modulePath)
    this.#initialize(options.libraryParameters)
  }

  /** The slot of exactly one initialised token. Throws CustodyError DEVICE_GONE when none or several carry the name. */
  slotOf(token: { readonly serial: string } | { readonly label: string }): SlotHandle {
    const found = this.#tokens().filter(({ info }) =>
      'serial' in token ? info.serial === token.serial : info.label === token.label,
    )
    const [only] = found
    if (only === undefined || found.length > 1) {
      const name = 'serial' in token ? `serial ${token.serial}` : `label ${token.label}`
      throw new CustodyError('DEVICE_GONE', `${found.length} tokens have the ${name}`)
    }
    return only.slot
  }

  /** All initialised tokens that the module shows. */
  tokens(): TokenInfo[] {
    return this.#tokens().map(({ info }) => info)
  }

  tokenInfo(slot: SlotHandle): TokenInfo {
    assertHandle(slot, 'slot')
    return readTokenInfo(this.#call('C_GetTokenInfo', () => this.#native.C_GetTokenInfo(slot)))
  }

  /** Mechanism numbers that the token lists. Lists lie: what counts is what works. */
  mechanisms(slot: SlotHandle): number[] {
    assertHandle(slot, 'slot')
    return this.#call('C_GetMechanismList', () => this.#native.C_GetMechanismList(slot))
  }

  openSession(slot: SlotHandle, options: { readonly readWrite: boolean }): Session {
    assertHandle(slot, 'slot')
    const readWrite = options.readWrite || this.#readWriteOnly
    const flags = CKF_SERIAL_SESSION | (readWrite ? CKF_RW_SESSION : 0)
    const handle = this.#call('C_OpenSession', () => this.#native.C_OpenSession(slot, flags))
    return new Session(this.#native, handle, this.#ambiguous)
  }

  /**
   * Logs the process in as the user; one C_Login, never repeated here (ARCH-D4). Answers `false` if it was logged in
   * before: then the PIN was not looked at.
   */
  login(session: Session, pin: string): boolean {
    return this.#login(session, CKU_USER, pin)
  }

  /** Logs the whole process out. Handles of private objects are invalid for ever, also after another login. */
  logout(session: Session): void {
    this.#call('C_Logout', () => this.#native.C_Logout(session.handle))
  }

  /** Makes a token in a slot that holds none, with both PINs. Answers what it became. */
  initToken(token: {
    readonly label: string
    readonly soPin: string
    readonly userPin: string
  }): TokenInfo {
    assertText(token.label, 'label')
    assertText(token.soPin, 'SO PIN')
    assertText(token.userPin, 'user PIN')
    const slot = this.#uninitializedSlot()
    const label = paddedLabel(token.label)
    this.#call('C_InitToken', () => this.#native.C_InitToken(slot, token.soPin, label))
    const session = this.openSession(slot, { readWrite: true })
    try {
      this.#login(session, CKU_SO, token.soPin)
      this.#call('C_InitPIN', () => this.#native.C_InitPIN(session.handle, token.userPin))
      this.logout(session)
    } finally {
      session.close()
    }
    return this.tokenInfo(slot)
  }

  /** Ends the module for the whole process. Never with calls in flight. */
  finalize(): void {
    this.#call('C_Finalize', () => this.#native.C_Finalize())
    opened.delete(this)
  }

  #load(modulePath: string): void {
    assertText(modulePath, 'modulePath')
    if (!isAbsolute(modulePath)) {
      throw new TypeError(`the module path ${modulePath} is not absolute`) // AT-K05: else the search path decides
    }
    try {
      assertNotReplaceable(modulePath)
      this.#native.load(modulePath)
    } catch (cause) {
      if (cause instanceof CustodyError) throw cause
      throw new CustodyError('DEVICE_GONE', `${modulePath} cannot be loaded`, { cause })
    }
  }

  #initialize(libraryParameters: string | undefined): void {
    if (libraryParameters !== undefined) assertText(libraryParameters, 'libraryParameters')
    try {
      this.#call('C_Initialize', () =>
        this.#native.C_Initialize({
          // Without this flag modules believe in a single thread, and promise-form calls corrupt their heap.
          flags: CKF_OS_LOCKING_OK,
          // pkcs11js cuts off the last character: a blank is lost instead.
          ...(libraryParameters !== undefined && { libraryParameters: `${libraryParameters} ` }),
        }),
      )
    } catch (error) {
      if (!isCkr(error, CKR.CKR_CRYPTOKI_ALREADY_INITIALIZED)) throw error
    }
  }

  #login(session: Session, user: number, pin: string): boolean {
    assertText(pin, 'PIN')
    try {
      this.#call('C_Login', () => this.#native.C_Login(session.handle, user, pin))
      return true
    } catch (error) {
      if (isCkr(error, CKR.CKR_USER_ALREADY_LOGGED_IN)) return false
      throw error
    }
  }

  #tokens(): { slot: SlotHandle; info: TokenInfo }[] {
    return this.#slotsWithInfo().filter(({ info }) => info.initialized)
  }

  #uninitializedSlot(): SlotHandle {
    const free = this.#slotsWithInfo().find(({ info }) => !info.initialized)
    if (!free) throw new CustodyError('DEVICE_GONE', 'no slot is free for a new token')
    return free.slot
  }

  #slotsWithInfo(): { slot: SlotHandle; info: TokenInfo }[] {
    const slots = this.#call('C_GetSlotList', () => this.#native.C_GetSlotList(true))
    return slots.flatMap((slot) => {
      try {
        return [{ slot, info: this.tokenInfo(slot) }]
      } catch (error) {
        if (error instanceof Pkcs11Error) return [] // a neighbour's broken reader is not our token
        throw error
      }
    })
  }

  #call<T>(call: string, work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw pkcs11ErrorOf(error, call, this.#ambiguous)
    }
  }
}

/** AT-K05: whoever may write the library, or put another in its place, would get the PIN. */
function assertNotReplaceable(modulePath: string): void {
  const file = realpathSync(modulePath)
  for (const path of [file, dirname(file)]) {
    const { mode } = statSync(path)
    const sticky = path !== file && (mode & 0o1000) !== 0 // only the owner may replace what lies in it
    if ((mode & 0o002) !== 0 && !sticky) {
      throw new CustodyError('DEVICE_GONE', `${path} can be written by everybody: not loaded`)
    }
  }
}

function readTokenInfo(native: NativeTokenInfo): TokenInfo {
  const has = (flag: keyof typeof TOKEN_FLAGS): boolean => (native.flags & TOKEN_FLAGS[flag]) !== 0
  return {
    label: unpadded(native.label),
    serial: unpadded(native.serialNumber),
    manufacturer: unpadded(native.manufacturerID),
    model: unpadded(native.model),
    hardware: versionText(native.hardwareVersion),
    firmware: versionText(native.firmwareVersion),
    initialized: has('initialized'),
    loginRequired: has('loginRequired'),
    userPinInitialized: has('userPinInitialized'),
    userPinCountLow: has('userPinCountLow'),
    userPinFinalTry: has('userPinFinalTry'),
    userPinLocked: has('userPinLocked'),
    maxSessions: NO_SESSION_LIMIT.has(native.maxSessionCount) ? undefined : native.maxSessionCount,
  }
}

function versionText({ major, minor }: NativeTokenInfo['hardwareVersion']): string {
  return `${major}.${minor}`
}

/** Fields are padded with blanks; some modules pad with NUL. */
function unpadded(text: string): string {
  return text.replace(/[\0 ]+$/u, '')
}

/** C_InitToken reads 32 bytes whatever the length of the string is. */
function paddedLabel(label: string): string {
  const bytes = Buffer.byteLength(label)
  if (bytes > TOKEN_LABEL_BYTES) throw new TypeError('a token label has 32 bytes at the most')
  return label + ' '.repeat(TOKEN_LABEL_BYTES - bytes)
}

function isCkr(error: unknown, ckr: number): boolean {
  return error instanceof Pkcs11Error && error.ckr === ckr
}
