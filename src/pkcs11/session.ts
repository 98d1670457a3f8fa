import type { Mechanism as NativeMechanism, PKCS11 } from 'pkcs11js'
import { CKR } from './ckr.ts'
import type { Template } from './attribute.ts'
import type { Mechanism } from './mechanism.ts'
import {
  assertAttributeType,
  assertBuffer,
  assertHandle,
  assertMechanism,
  assertTemplate,
  assertUlong,
} from './native-argument.ts'
import { Pkcs11Error, pkcs11ErrorOf } from './pkcs11-error.ts'

/** CK_OBJECT_HANDLE: valid in this process only, and only until the next login. */
export type ObjectHandle = Buffer

// AT-K09: a plaintext lies in memory of its own. Such memory is V8's dearest: the collector of a lane paused for up to 27 ms over
// what had held IVs and ciphertexts, so nothing else has it.
const SECRET = { outputOf: Buffer.allocUnsafeSlow } as const
const PUBLIC = { outputOf: Buffer.allocUnsafe } as const

/** The three one-shot operations and their native names. Never the callback forms: those read memory that was freed. */
const OPERATIONS = {
  encrypt: { ...PUBLIC, init: 'C_EncryptInit', run: 'C_Encrypt', runAsync: 'C_EncryptAsync' },
  decrypt: { ...SECRET, init: 'C_DecryptInit', run: 'C_Decrypt', runAsync: 'C_DecryptAsync' },
  sign: { ...PUBLIC, init: 'C_SignInit', run: 'C_Sign', runAsync: 'C_SignAsync' },
} as const

type Operation = (typeof OPERATIONS)[keyof typeof OPERATIONS]

// An empty Buffer of its own is a NULL pointer in C. SoftHSM2 answers CKR_ARGUMENTS_BAD to that, and the operation stays
// active; an empty view into real memory works.
const EMPTY_INPUT = Buffer.alloc(8).subarray(0, 0)

const LOGGED_IN_STATES = new Set([1, 3]) // CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS
const FIND_BATCH = 1024

// The answers of C_GetAttributeValue that are about the object and not about the session.
const ATTRIBUTE_ABSENT = new Set<number>([
  CKR.CKR_ATTRIBUTE_TYPE_INVALID,
  CKR.CKR_ATTRIBUTE_SENSITIVE,
  // FM-F22: SoftHSM2 2.6.1 says it of every attribute of an object whose writer was killed before CKA_CLASS was written.
  CKR.CKR_ATTRIBUTE_VALUE_INVALID,
])

/**
 * One PKCS#11 session. Every method throws Pkcs11Error for the token's refusals and TypeError for wrong arguments, which
 * are caught before they reach native code.
 *
 * After a Pkcs11Error the session is `tainted`: an operation may have stayed active inside it. Close it and open another.
 * One operation at a time: an asynchronous one must settle before the next begins.
 */
export class Session {
  readonly #native: PKCS11
  readonly #handle: Buffer
  readonly #ambiguous: ReadonlySet<string>
  // What native code may still write to or read from while a promise is pending.
  #inFlight: readonly unknown[] | undefined
  #tainted = false
  #closed = false

  /** Made by `Pkcs11Module.openSession` only. */
  constructor(native: PKCS11, handle: Buffer, ambiguous: ReadonlySet<string>) {
    assertHandle(handle, 'session')
    this.#native = native
    this.#handle = handle
    this.#ambiguous = ambiguous
  }

  get tainted(): boolean {
    return this.#tainted
  }

  /** The CK_SESSION_HANDLE, for `Pkcs11Module` and the log. */
  get handle(): Buffer {
    return this.#handle
  }

  encrypt(mechanism: Mechanism, key: ObjectHandle, input: Buffer, maxOutputBytes: number): Buffer {
    return this.#run(OPERATIONS.encrypt, mechanism, key, input, maxOutputBytes)
  }

  /** The returned plaintext lies in memory of its own, outside Node's pool: the caller wipes it. */
  decrypt(mechanism: Mechanism, key: ObjectHandle, input: Buffer, maxOutputBytes: number): Buffer {
    return this.#run(OPERATIONS.decrypt, mechanism, key, input, maxOutputBytes)
  }

  sign(mechanism: Mechanism, key: ObjectHandle, data: Buffer, maxOutputBytes: number): Buffer {
    return this.#run(OPERATIONS.sign, mechanism, key, data, maxOutputBytes)
  }

  encryptAsync(
    mechanism: Mechanism,
    key: ObjectHandle,
    input: Buffer,
    maxOutputBytes: number,
  ): Promise<Buffer> {
    return this.#runAsync(OPERATIONS.encrypt, mechanism, key, input, maxOutputBytes)
  }

  decryptAsync(
    mechanism: Mechanism,
    key: ObjectHandle,
    input: Buffer,
    maxOutputBytes: number,
  ): Promise<Buffer> {
    return this.#runAsync(OPERATIONS.decrypt, mechanism, key, input, maxOutputBytes)
  }

  signAsync(
    mechanism: Mechanism,
    key: ObjectHandle,
    data: Buffer,
    maxOutputBytes: number,
  ): Promise<Buffer> {
    return this.#runAsync(OPERATIONS.sign, mechanism, key, data, maxOutputBytes)
  }

  /** Random bytes of the token, in memory outside Node's pool. */
  random(bytes: number): Buffer {
    this.#assertIdle()
    assertUlong(bytes, 'number of random bytes')
    const output = Buffer.allocUnsafeSlow(bytes)
    if (bytes === 0) return output
    this.#call('C_GenerateRandom', () => this.#native.C_GenerateRandom(this.#handle, output))
    return output
  }

  generateKey(mechanism: Mechanism, template: Template): ObjectHandle {
    this.#assertIdle()
    assertMechanism(mechanism)
    assertTemplate(template)
    // Synchronous on purpose: the promise form leaks the template.
    return this.#call('C_GenerateKey', () =>
      this.#native.C_GenerateKey(this.#handle, nativeOf(mechanism), [...template]),
    )
  }

  createObject(template: Template): ObjectHandle {
    this.#assertIdle()
    assertTemplate(template)
    return this.#call('C_CreateObject', () =>
      this.#native.C_CreateObject(this.#handle, [...template]),
    )
  }

  /** A copy of the object, changed by the template. A session copy lives as long as this session. */
  copyObject(handle: ObjectHandle, changes: Template): ObjectHandle {
    this.#assertIdle()
    assertHandle(handle, 'object')
    assertTemplate(changes)
    return this.#call('C_CopyObject', () =>
      this.#native.C_CopyObject(this.#handle, handle, [...changes]),
    )
  }

  destroyObject(handle: ObjectHandle): void {
    this.#assertIdle()
    assertHandle(handle, 'object')
    this.#call('C_DestroyObject', () => this.#native.C_DestroyObject(this.#handle, handle))
  }

  /** Handles of the objects that carry all attributes of the template, `limit` at the most. The search is always ended. */
  find(template: Template, limit = Infinity): ObjectHandle[] {
    this.#assertIdle()
    assertTemplate(template)
    this.#call('C_FindObjectsInit', () =>
      this.#native.C_FindObjectsInit(this.#handle, [...template]),
    )
    try {
      const found = this.#fetchFound(limit)
      this.#call('C_FindObjectsFinal', () => this.#native.C_FindObjectsFinal(this.#handle))
      return found
    } catch (error) {
      this.#endFind()
      throw error
    }
  }

  /** Values in the order of `types`; `undefined` where the token says "unavailable". Throws if one is unknown or hidden. */
  attributes(handle: ObjectHandle, types: readonly number[]): (Buffer | undefined)[] {
    this.#assertIdle()
    assertHandle(handle, 'object')
    for (const type of types) assertAttributeType(type)
    const wanted = types.map((type) => ({ type }))
    const values: readonly { value?: Buffer }[] = this.#call('C_GetAttributeValue', () =>
      this.#native.C_GetAttributeValue(this.#handle, handle, wanted),
    )
    return types.map((_, i) => values[i]?.value)
  }

  /** One attribute, or `undefined` when the object has none of this type or hides it. Neither taints the session. */
  findAttribute(handle: ObjectHandle, type: number): Buffer | undefined {
    const tainted = this.#tainted
    try {
      return this.attributes(handle, [type])[0]
    } catch (error) {
      if (!(error instanceof Pkcs11Error) || !ATTRIBUTE_ABSENT.has(error.ckr)) throw error
      this.#tainted = tainted
      return undefined
    }
  }

  /** Several attributes, each `undefined` where the object has none of its type. One call, if the object has them all. */
  findAttributes(handle: ObjectHandle, types: readonly number[]): (Buffer | undefined)[] {
    const tainted = this.#tainted
    try {
      return this.attributes(handle, types)
    } catch (error) {
      if (!(error instanceof Pkcs11Error) || !ATTRIBUTE_ABSENT.has(error.ckr)) throw error
      this.#tainted = tainted
      return types.map((type) => this.findAttribute(handle, type))
    }
  }

  setAttributes(handle: ObjectHandle, template: Template): void {
    this.#assertIdle()
    assertHandle(handle, 'object')
    assertTemplate(template)
    this.#call('C_SetAttributeValue', () =>
      this.#native.C_SetAttributeValue(this.#handle, handle, [...template]),
    )
  }

  /** What the module believes. SoftHSM2 still says yes when its token directory is gone: only a canary proves a token. */
  isLoggedIn(): boolean {
    this.#assertIdle()
    const info = this.#call('C_GetSessionInfo', () => this.#native.C_GetSessionInfo(this.#handle))
    return LOGGED_IN_STATES.has(info.state)
  }

  /** Never throws for the token's refusal: a session that cannot be closed is gone already. A second call does nothing. */
  close(): void {
    if (this.#closed) return
    if (this.#inFlight) throw new TypeError('the session has an operation in flight')
    this.#closed = true
    try {
      this.#native.C_CloseSession(this.#handle)
    } catch (error) {
      if (error instanceof TypeError) throw error
    }
  }

  #run(
    operation: Operation,
    mechanism: Mechanism,
    key: ObjectHandle,
    input: Buffer,
    maxOutputBytes: number,
  ): Buffer {
    this.#assertOperands(mechanism, key, input, maxOutputBytes)
    const output = operation.outputOf(maxOutputBytes)
    try {
      this.#init(operation, mechanism, key)
      return this.#call(operation.run, () =>
        this.#native[operation.run](this.#handle, inputOf(input), output),
      )
    } catch (error) {
      output.fill(0) // a module may have written plaintext before it saw the bad tag
      throw error
    }
  }

  async #runAsync(
    operation: Operation,
    mechanism: Mechanism,
    key: ObjectHandle,
    input: Buffer,
    maxOutputBytes: number,
  ): Promise<Buffer> {
    this.#assertOperands(mechanism, key, input, maxOutputBytes)
    const output = operation.outputOf(maxOutputBytes)
    this.#inFlight = [mechanism, key, input, output]
    try {
      this.#init(operation, mechanism, key)
      return await this.#native[operation.runAsync](this.#handle, inputOf(input), output)
    } catch (error) {
      output.fill(0)
      if (error instanceof Pkcs11Error) throw error
      throw this.#fail(error, operation.run)
    } finally {
      this.#inFlight = undefined
    }
  }

  #init(operation: Operation, mechanism: Mechanism, key: ObjectHandle): void {
    this.#call(operation.init, () =>
      this.#native[operation.init](this.#handle, nativeOf(mechanism), key),
    )
  }

  #fetchFound(limit: number): ObjectHandle[] {
    const found: ObjectHandle[] = []
    while (found.length < limit) {
      const batch = Math.min(limit - found.length, FIND_BATCH)
      const handles = this.#call('C_FindObjects', () =>
        this.#native.C_FindObjects(this.#handle, batch),
      )
      if (handles.length === 0) break
      found.push(...handles)
    }
    return found
  }

  #endFind(): void {
    try {
      this.#native.C_FindObjectsFinal(this.#handle)
    } catch {
      // The search failed before, and that is what the caller hears.
    }
  }

  #assertOperands(
    mechanism: Mechanism,
    key: ObjectHandle,
    input: Buffer,
    maxOutputBytes: number,
  ): void {
    this.#assertIdle()
    assertMechanism(mechanism)
    assertHandle(key, 'key')
    assertBuffer(input, 'input')
    assertUlong(maxOutputBytes, 'maxOutputBytes')
    if (maxOutputBytes === 0) throw new TypeError('maxOutputBytes is 0') // a NULL output asks for the length
  }

  #assertIdle(): void {
    if (this.#closed) throw new TypeError('the session is closed')
    if (this.#inFlight) throw new TypeError('the session has an operation in flight')
  }

  #call<T>(call: string, work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw this.#fail(error, call)
    }
  }

  #fail(error: unknown, call: string): Error {
    this.#tainted = true
    return pkcs11ErrorOf(error, call, this.#ambiguous)
  }
}

function inputOf(input: Buffer): Buffer {
  return input.length === 0 ? EMPTY_INPUT : input
}

/** pkcs11js takes null for "no parameter", but its types do not say so. */
function nativeOf(mechanism: Mechanism): NativeMechanism {
  return mechanism as NativeMechanism
}
