import type { CustodyErrorCode } from '../crypto/custody-error.ts'

/** What a return code is about; the class decides what follows from it (FM-3.1). */
export type CkrClass =
  | 'INPUT' // the bytes or sizes we were given
  | 'USAGE' // the object, or the token's own rule, does not permit this
  | 'UNSUPPORTED' // this token does not know the mechanism, curve or function
  | 'AMBIGUOUS' // bad input or a sick token: only a probe tells
  | 'SESSION'
  | 'HANDLE'
  | 'LOGIN'
  | 'CAPACITY'
  | 'DEVICE'
  | 'PIN'
  | 'BUG' // our call was wrong, or nobody foresaw the code

export interface CkrRow {
  readonly code: number
  readonly name: string
  readonly class: CkrClass
}

/** What a lane does about a class before anybody is told. */
export type CkrCure =
  | 'keep-session' // nothing is broken: answer
  | 'evidence' // run the canary and the key's own proof, then decide (ARCH-D10)
  | 'fresh-session' // open another session and try once more
  | 'find-again' // handles are stale: index the token again
  | 'log-in' // one login, and then every handle is new
  | 'wait' // the token is full or throttles: later, within the deadline
  | 'canary' // works: one bad call; fails: the token is gone
  | 'latch' // no further login until the PIN changes (ARCH-D4)
  | 'fresh-process' // nothing in this process is believed any more

export interface CkrConsequence {
  /** What the caller hears if the cure does not help. */
  readonly custodyCode: CustodyErrorCode
  /** What the front process does with the lane; the same words as LaneAdvice of token/. */
  readonly advice: 'keep' | 'recover' | 'learn' | 'replace'
  readonly cure: CkrCure
}

export const CKR_CLASSES = {
  INPUT: { custodyCode: 'INPUT', advice: 'keep', cure: 'keep-session' },
  USAGE: { custodyCode: 'KEY_USAGE', advice: 'keep', cure: 'keep-session' },
  UNSUPPORTED: { custodyCode: 'UNSUPPORTED', advice: 'keep', cure: 'keep-session' },
  AMBIGUOUS: { custodyCode: 'CIPHERTEXT_REJECTED', advice: 'keep', cure: 'evidence' },
  SESSION: { custodyCode: 'INTERNAL', advice: 'recover', cure: 'fresh-session' },
  HANDLE: { custodyCode: 'KEY_UNAVAILABLE', advice: 'recover', cure: 'find-again' },
  LOGIN: { custodyCode: 'DEVICE_GONE', advice: 'recover', cure: 'log-in' },
  CAPACITY: { custodyCode: 'CAPACITY', advice: 'keep', cure: 'wait' },
  DEVICE: { custodyCode: 'DEVICE_GONE', advice: 'replace', cure: 'canary' },
  // 'keep': a new process would only try the same PIN again.
  PIN: { custodyCode: 'LOGIN_REFUSED', advice: 'keep', cure: 'latch' },
  BUG: { custodyCode: 'INTERNAL', advice: 'replace', cure: 'fresh-process' },
} as const satisfies Record<CkrClass, CkrConsequence>

/** Every return code of PKCS#11 2.40, 3.0, 3.1 and 3.2 but CKR_OK. pkcs11js calls a third of them CKR_VENDOR_DEFINED. */
export const CKR_ROWS = [
  { code: 0x001, name: 'CKR_CANCEL', class: 'SESSION' },
  { code: 0x002, name: 'CKR_HOST_MEMORY', class: 'CAPACITY' },
  { code: 0x003, name: 'CKR_SLOT_ID_INVALID', class: 'DEVICE' },
  { code: 0x005, name: 'CKR_GENERAL_ERROR', class: 'AMBIGUOUS' }, // SoftHSM2: a bad GCM tag, and a vanished directory
  { code: 0x006, name: 'CKR_FUNCTION_FAILED', class: 'AMBIGUOUS' }, // nShield: a bad tag; YubiHSM: its connector is gone
  { code: 0x007, name: 'CKR_ARGUMENTS_BAD', class: 'BUG' },
  { code: 0x008, name: 'CKR_NO_EVENT', class: 'BUG' },
  { code: 0x009, name: 'CKR_NEED_TO_CREATE_THREADS', class: 'UNSUPPORTED' },
  { code: 0x00a, name: 'CKR_CANT_LOCK', class: 'UNSUPPORTED' },
  { code: 0x010, name: 'CKR_ATTRIBUTE_READ_ONLY', class: 'USAGE' },
  { code: 0x011, name: 'CKR_ATTRIBUTE_SENSITIVE', class: 'USAGE' },
  { code: 0x012, name: 'CKR_ATTRIBUTE_TYPE_INVALID', class: 'BUG' },
  { code: 0x013, name: 'CKR_ATTRIBUTE_VALUE_INVALID', class: 'INPUT' },
  { code: 0x01b, name: 'CKR_ACTION_PROHIBITED', class: 'USAGE' },
  { code: 0x020, name: 'CKR_DATA_INVALID', class: 'AMBIGUOUS' },
  { code: 0x021, name: 'CKR_DATA_LEN_RANGE', class: 'INPUT' },
  { code: 0x030, name: 'CKR_DEVICE_ERROR', class: 'DEVICE' },
  { code: 0x031, name: 'CKR_DEVICE_MEMORY', class: 'CAPACITY' },
  { code: 0x032, name: 'CKR_DEVICE_REMOVED', class: 'DEVICE' },
  { code: 0x040, name: 'CKR_ENCRYPTED_DATA_INVALID', class: 'AMBIGUOUS' }, // YubiHSM: also a lost channel
  { code: 0x041, name: 'CKR_ENCRYPTED_DATA_LEN_RANGE', class: 'AMBIGUOUS' },
  { code: 0x042, name: 'CKR_AEAD_DECRYPT_FAILED', class: 'AMBIGUOUS' },
  { code: 0x050, name: 'CKR_FUNCTION_CANCELED', class: 'SESSION' },
  { code: 0x051, name: 'CKR_FUNCTION_NOT_PARALLEL', class: 'BUG' },
  { code: 0x054, name: 'CKR_FUNCTION_NOT_SUPPORTED', class: 'UNSUPPORTED' },
  { code: 0x060, name: 'CKR_KEY_HANDLE_INVALID', class: 'HANDLE' },
  { code: 0x062, name: 'CKR_KEY_SIZE_RANGE', class: 'INPUT' },
  { code: 0x063, name: 'CKR_KEY_TYPE_INCONSISTENT', class: 'USAGE' },
  { code: 0x064, name: 'CKR_KEY_NOT_NEEDED', class: 'BUG' },
  { code: 0x065, name: 'CKR_KEY_CHANGED', class: 'HANDLE' },
  { code: 0x066, name: 'CKR_KEY_NEEDED', class: 'BUG' },
  { code: 0x067, name: 'CKR_KEY_INDIGESTIBLE', class: 'USAGE' },
  { code: 0x068, name: 'CKR_KEY_FUNCTION_NOT_PERMITTED', class: 'USAGE' },
  { code: 0x069, name: 'CKR_KEY_NOT_WRAPPABLE', class: 'USAGE' },
  { code: 0x06a, name: 'CKR_KEY_UNEXTRACTABLE', class: 'USAGE' },
  { code: 0x070, name: 'CKR_MECHANISM_INVALID', class: 'UNSUPPORTED' },
  { code: 0x071, name: 'CKR_MECHANISM_PARAM_INVALID', class: 'BUG' },
  { code: 0x082, name: 'CKR_OBJECT_HANDLE_INVALID', class: 'HANDLE' },
  { code: 0x090, name: 'CKR_OPERATION_ACTIVE', class: 'SESSION' },
  { code: 0x091, name: 'CKR_OPERATION_NOT_INITIALIZED', class: 'SESSION' },
  { code: 0x0a0, name: 'CKR_PIN_INCORRECT', class: 'PIN' },
  { code: 0x0a1, name: 'CKR_PIN_INVALID', class: 'PIN' },
  { code: 0x0a2, name: 'CKR_PIN_LEN_RANGE', class: 'PIN' },
  { code: 0x0a3, name: 'CKR_PIN_EXPIRED', class: 'PIN' },
  { code: 0x0a4, name: 'CKR_PIN_LOCKED', class: 'PIN' },
  { code: 0x0b0, name: 'CKR_SESSION_CLOSED', class: 'SESSION' },
  { code: 0x0b1, name: 'CKR_SESSION_COUNT', class: 'CAPACITY' },
  { code: 0x0b3, name: 'CKR_SESSION_HANDLE_INVALID', class: 'SESSION' },
  { code: 0x0b4, name: 'CKR_SESSION_PARALLEL_NOT_SUPPORTED', class: 'BUG' },
  { code: 0x0b5, name: 'CKR_SESSION_READ_ONLY', class: 'BUG' },
  { code: 0x0b6, name: 'CKR_SESSION_EXISTS', class: 'BUG' },
  { code: 0x0b7, name: 'CKR_SESSION_READ_ONLY_EXISTS', class: 'BUG' },
  { code: 0x0b8, name: 'CKR_SESSION_READ_WRITE_SO_EXISTS', class: 'BUG' },
  { code: 0x0c0, name: 'CKR_SIGNATURE_INVALID', class: 'INPUT' },
  { code: 0x0c1, name: 'CKR_SIGNATURE_LEN_RANGE', class: 'INPUT' },
  { code: 0x0d0, name: 'CKR_TEMPLATE_INCOMPLETE', class: 'BUG' },
  { code: 0x0d1, name: 'CKR_TEMPLATE_INCONSISTENT', class: 'BUG' },
  { code: 0x0e0, name: 'CKR_TOKEN_NOT_PRESENT', class: 'DEVICE' },
  { code: 0x0e1, name: 'CKR_TOKEN_NOT_RECOGNIZED', class: 'DEVICE' },
  { code: 0x0e2, name: 'CKR_TOKEN_WRITE_PROTECTED', class: 'DEVICE' },
  { code: 0x0f0, name: 'CKR_UNWRAPPING_KEY_HANDLE_INVALID', class: 'HANDLE' },
  { code: 0x0f1, name: 'CKR_UNWRAPPING_KEY_SIZE_RANGE', class: 'USAGE' },
  { code: 0x0f2, name: 'CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT', class: 'USAGE' },
  { code: 0x100, name: 'CKR_USER_ALREADY_LOGGED_IN', class: 'BUG' },
  { code: 0x101, name: 'CKR_USER_NOT_LOGGED_IN', class: 'LOGIN' },
  { code: 0x102, name: 'CKR_USER_PIN_NOT_INITIALIZED', class: 'PIN' },
  { code: 0x103, name: 'CKR_USER_TYPE_INVALID', class: 'PIN' },
  { code: 0x104, name: 'CKR_USER_ANOTHER_ALREADY_LOGGED_IN', class: 'PIN' },
  { code: 0x105, name: 'CKR_USER_TOO_MANY_TYPES', class: 'PIN' },
  { code: 0x110, name: 'CKR_WRAPPED_KEY_INVALID', class: 'INPUT' },
  { code: 0x112, name: 'CKR_WRAPPED_KEY_LEN_RANGE', class: 'INPUT' },
  { code: 0x113, name: 'CKR_WRAPPING_KEY_HANDLE_INVALID', class: 'HANDLE' },
  { code: 0x114, name: 'CKR_WRAPPING_KEY_SIZE_RANGE', class: 'USAGE' },
  { code: 0x115, name: 'CKR_WRAPPING_KEY_TYPE_INCONSISTENT', class: 'USAGE' },
  { code: 0x120, name: 'CKR_RANDOM_SEED_NOT_SUPPORTED', class: 'UNSUPPORTED' },
  { code: 0x121, name: 'CKR_RANDOM_NO_RNG', class: 'UNSUPPORTED' },
  { code: 0x130, name: 'CKR_DOMAIN_PARAMS_INVALID', class: 'UNSUPPORTED' }, // NSS: a curve that it does not have
  { code: 0x140, name: 'CKR_CURVE_NOT_SUPPORTED', class: 'UNSUPPORTED' },
  { code: 0x150, name: 'CKR_BUFFER_TOO_SMALL', class: 'BUG' },
  { code: 0x160, name: 'CKR_SAVED_STATE_INVALID', class: 'SESSION' },
  { code: 0x170, name: 'CKR_INFORMATION_SENSITIVE', class: 'USAGE' },
  { code: 0x180, name: 'CKR_STATE_UNSAVEABLE', class: 'BUG' },
  { code: 0x190, name: 'CKR_CRYPTOKI_NOT_INITIALIZED', class: 'DEVICE' },
  { code: 0x191, name: 'CKR_CRYPTOKI_ALREADY_INITIALIZED', class: 'BUG' },
  { code: 0x1a0, name: 'CKR_MUTEX_BAD', class: 'BUG' },
  { code: 0x1a1, name: 'CKR_MUTEX_NOT_LOCKED', class: 'BUG' },
  { code: 0x1b0, name: 'CKR_NEW_PIN_MODE', class: 'PIN' },
  { code: 0x1b1, name: 'CKR_NEXT_OTP', class: 'PIN' },
  { code: 0x1b5, name: 'CKR_EXCEEDED_MAX_ITERATIONS', class: 'DEVICE' },
  { code: 0x1b6, name: 'CKR_FIPS_SELF_TEST_FAILED', class: 'DEVICE' },
  { code: 0x1b7, name: 'CKR_LIBRARY_LOAD_FAILED', class: 'DEVICE' },
  { code: 0x1b8, name: 'CKR_PIN_TOO_WEAK', class: 'PIN' },
  { code: 0x1b9, name: 'CKR_PUBLIC_KEY_INVALID', class: 'INPUT' },
  { code: 0x200, name: 'CKR_FUNCTION_REJECTED', class: 'USAGE' }, // YubiHSM: the role lacks the permission
  { code: 0x201, name: 'CKR_TOKEN_RESOURCE_EXCEEDED', class: 'CAPACITY' },
  { code: 0x202, name: 'CKR_OPERATION_CANCEL_FAILED', class: 'SESSION' },
  { code: 0x203, name: 'CKR_KEY_EXHAUSTED', class: 'USAGE' },
  { code: 0x204, name: 'CKR_PENDING', class: 'BUG' },
  { code: 0x205, name: 'CKR_SESSION_ASYNC_NOT_SUPPORTED', class: 'UNSUPPORTED' },
  { code: 0x206, name: 'CKR_SEED_RANDOM_REQUIRED', class: 'DEVICE' },
  { code: 0x207, name: 'CKR_OPERATION_NOT_VALIDATED', class: 'USAGE' },
  { code: 0x208, name: 'CKR_TOKEN_NOT_INITIALIZED', class: 'DEVICE' },
  { code: 0x209, name: 'CKR_PARAMETER_SET_NOT_SUPPORTED', class: 'UNSUPPORTED' },
] as const satisfies readonly CkrRow[]

export type CkrName = (typeof CKR_ROWS)[number]['name']

const BY_CODE = new Map<number, CkrRow>(CKR_ROWS.map((row) => [row.code, row]))

/** The codes by name, for comparisons: `error.ckr === CKR.CKR_PIN_INCORRECT`. */
export const CKR = Object.fromEntries(CKR_ROWS.map((row) => [row.name, row.code])) as Readonly<
  Record<CkrName, number>
>

const NONE: ReadonlySet<string> = new Set()

/**
 * The row of a return code. A code that no standard names is `CKR_0x…` and a BUG. Codes in `ambiguous` (names, from a
 * vendor profile) are AMBIGUOUS whatever the standard means by them.
 */
export function ckrRow(code: number, ambiguous: ReadonlySet<string> = NONE): CkrRow {
  const row = BY_CODE.get(code) ?? {
    code,
    name: `CKR_0x${code.toString(16).padStart(8, '0')}`,
    class: 'BUG',
  }
  return ambiguous.has(row.name) ? { ...row, class: 'AMBIGUOUS' } : row
}

export function ckrName(code: number): string {
  return ckrRow(code).name
}
