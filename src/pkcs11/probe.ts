import { randomBytes } from 'node:crypto'
import { CustodyError } from '../crypto/custody-error.ts'
import type { Template } from './attribute.ts'
import type { CkrName } from './ckr.ts'
import type { Mechanism } from './mechanism.ts'
import { aesCbc, aesGcm, aesKeyGen, genericSecretKeyGen, hmacSha256 } from './mechanism.ts'
import type { Pkcs11Module, SlotHandle } from './pkcs11-module.ts'
import { Pkcs11Error } from './pkcs11-error.ts'
import type { ObjectHandle, Session } from './session.ts'
import { dataObjectTemplate, readBackCustodyAttributes, secretKeyTemplate } from './template.ts'
import { CKA } from './attribute.ts'
import type { VendorProfile } from './vendor-profile.ts'

export interface ProbeOptions {
  readonly name: string
  readonly modulePath: string
  readonly by: string
  /** YYYY-MM-DD */
  readonly on: string
}

// Largest first; the first that works is the answer.
const ID_BYTES = [255, 128, 64, 40, 32, 20, 16, 8]
const LABEL_BYTES = [255, 128, 64, 40, 32]
const INPUT_BYTES = [65_536, 32_768, 16_384, 8192, 4096, 2048, 1024, 512]
const DATA_BYTES = INPUT_BYTES
const TAG_BITS = 128
const TAG_BYTES = TAG_BITS / 8
const MAC_BYTES = 32
const SLOW_USE_MS = 0.5 // from here on a call waits for a network or a bus, and calls side by side pay off
const TIMED_CALLS = 50

// What FM-3.1 distrusts everywhere; the code of a bad tag is added when it is another one.
const ALWAYS_AMBIGUOUS: readonly CkrName[] = [
  'CKR_GENERAL_ERROR',
  'CKR_FUNCTION_FAILED',
  'CKR_ENCRYPTED_DATA_INVALID',
  'CKR_ENCRYPTED_DATA_LEN_RANGE',
  'CKR_DATA_INVALID',
]

// Attributes without which our templates still say enough, so that a token may refuse them.
const DISPENSABLE_OF_KEYS = [
  'CKA_WRAP',
  'CKA_UNWRAP',
  'CKA_DERIVE',
  'CKA_SIGN',
  'CKA_VERIFY',
  'CKA_PRIVATE',
] as const
const DISPENSABLE_OF_DATA = ['CKA_MODIFIABLE'] as const

/**
 * Measures a live token by doing, not by its mechanism list, and answers a profile. What cannot be measured without harm
 * (killSafe, loginLimit, deadlines, import, sessionCopies) gets the careful value. The process must be logged in; every object that was made
 * is destroyed again. Throws CustodyError UNSUPPORTED when no AEAD scheme works.
 */
export async function probeToken(
  module: Pkcs11Module,
  slot: SlotHandle,
  options: ProbeOptions,
): Promise<VendorProfile> {
  const probe = new TokenProbe(module, slot)
  try {
    return await probe.measure(options)
  } finally {
    probe.cleanUp()
  }
}

/** What a probe of GCM found out. */
interface GcmFindings {
  readonly ivModel: VendorProfile['ivModel']
  readonly ivBytes: number
  readonly badTag: string | undefined
}

type KeyKind = 'AES' | 'GENERIC_SECRET'

class TokenProbe {
  readonly #module: Pkcs11Module
  readonly #slot: SlotHandle
  readonly #made: ObjectHandle[] = []
  #omitAttributes: readonly string[] = []

  constructor(module: Pkcs11Module, slot: SlotHandle) {
    this.#module = module
    this.#slot = slot
  }

  async measure(options: ProbeOptions): Promise<VendorProfile> {
    const info = this.#module.tokenInfo(this.#slot)
    this.#omitAttributes = this.#refused(DISPENSABLE_OF_KEYS, () => this.#makesKey())
    this.#omitAttributes = [
      ...this.#omitAttributes,
      ...this.#refused(DISPENSABLE_OF_DATA, () => this.#keepsData(32)),
    ]
    const aes = this.#makeKey('AES')
    const gcm = this.#findings(aes)
    const mac = gcm ? this.#tryMakeKey('GENERIC_SECRET') : this.#makeKey('GENERIC_SECRET')
    if (!gcm) this.#assertCbcHmac(aes, mac)
    const maxDataBytes = this.#largest(DATA_BYTES, (bytes) => this.#keepsData(bytes))
    return {
      name: options.name,
      vendor: info.manufacturer || 'unknown',
      measured: { by: options.by, on: options.on, firmware: info.firmware },
      modulePath: options.modulePath,
      aeadScheme: gcm ? 'AES_GCM' : 'AES_CBC_HMAC',
      ivModel: gcm?.ivModel ?? 'host',
      ivBytes: gcm?.ivBytes ?? 16,
      maxCipherBytes: this.#largest(INPUT_BYTES, (bytes) => this.#encrypts(aes, gcm, bytes)) || 32,
      maxMacBytes: (mac && this.#largest(INPUT_BYTES, (bytes) => this.#macs(mac, bytes))) || 32,
      maxIdBytes: this.#largest(ID_BYTES, (bytes) => this.#keepsName({ idBytes: bytes })) || 1,
      maxLabelBytes:
        this.#largest(LABEL_BYTES, (bytes) => this.#keepsName({ labelBytes: bytes })) || 1,
      dataObjects: maxDataBytes > 0,
      maxDataBytes,
      maxSessions: info.maxSessions ?? 1024,
      callsPerLane: await this.#callsPerLane(aes, gcm, info.maxSessions),
      hotLanes: 2,
      randomBatchBytes: 0,
      deadlinesMs: { use: 80, useTotal: 150, find: 5000, write: 30_000 },
      killSafe: false,
      loginRewritesFiles: [],
      readWriteSessionsOnly: !this.#opensReadOnlySession(),
      loginLimit: 3,
      ambiguousCkrs: [...new Set([...ALWAYS_AMBIGUOUS, ...(gcm?.badTag ? [gcm.badTag] : [])])],
      mechanisms: this.#ownNumbers(),
      omitAttributes: this.#omitAttributes,
      reportsHistory: this.#reportsHistory(aes),
      sessionCopies: false,
      import: { allowHostUnwrap: false },
    }
  }

  cleanUp(): void {
    for (const handle of this.#made) this.#try((session) => session.destroyObject(handle))
  }

  // ── keys and their templates ──────────────────────────────────────────────────────────────────

  #template(kind: KeyKind, name: { idBytes?: number; labelBytes?: number } = {}): Template {
    return secretKeyTemplate(
      {
        id: randomBytes(name.idBytes ?? 16),
        label: 'hsm-bridge probe'.padEnd(name.labelBytes ?? 0, '.'),
        keyType: kind,
        valueBytes: 32,
        uses: kind === 'AES' ? ['ENCRYPT', 'DECRYPT'] : ['SIGN'],
      },
      { omitAttributes: this.#omitAttributes },
    )
  }

  #makeKey(kind: KeyKind, template = this.#template(kind)): ObjectHandle {
    const mechanism = kind === 'AES' ? aesKeyGen() : genericSecretKeyGen()
    return this.#keep((session) => session.generateKey(mechanism, template))
  }

  #tryMakeKey(kind: KeyKind): ObjectHandle | undefined {
    return this.#attempt(() => this.#makeKey(kind))
  }

  /** Makes an object and remembers it, so that it is destroyed in any case. */
  #keep(make: (session: Session) => ObjectHandle): ObjectHandle {
    const handle = this.#with(make)
    this.#made.push(handle)
    return handle
  }

  #destroy(handle: ObjectHandle): void {
    this.#with((session) => session.destroyObject(handle))
    this.#made.splice(this.#made.indexOf(handle), 1)
  }

  /** Which of the attributes must be left out for something to work at all; each is tried without the others. */
  #refused(names: readonly string[], works: () => boolean): readonly string[] {
    if (works() || !this.#without(names, works)) return []
    return names.filter(
      (name) =>
        !this.#without(
          names.filter((other) => other !== name),
          works,
        ),
    )
  }

  #without(names: readonly string[], works: () => boolean): boolean {
    const before = this.#omitAttributes
    this.#omitAttributes = [...before, ...names]
    try {
      return works()
    } finally {
      this.#omitAttributes = before
    }
  }

  #makesKey(): boolean {
    const made = this.#tryMakeKey('AES')
    if (made) this.#destroy(made)
    return made !== undefined
  }

  #keepsName(name: { idBytes?: number; labelBytes?: number }): boolean {
    const template = this.#template('AES', name)
    const made = this.#attempt(() => this.#makeKey('AES', template))
    if (!made) return false
    const wanted = template.filter(({ type }) => type === CKA.ID || type === CKA.LABEL)
    const kept = this.#try((session) =>
      session.attributes(
        made,
        wanted.map(({ type }) => type),
      ),
    )
    this.#destroy(made)
    return wanted.every(({ value }, i) => kept?.[i]?.equals(Buffer.from(value as string | Buffer)))
  }

  #keepsData(bytes: number): boolean {
    const value = randomBytes(bytes)
    const template = dataObjectTemplate(
      { label: 'hsm-bridge probe', application: 'hsm-bridge', value },
      { omitAttributes: this.#omitAttributes },
    )
    const made = this.#attempt(() => this.#keep((session) => session.createObject(template)))
    if (!made) return false
    const kept = this.#try((session) => session.findAttribute(made, CKA.VALUE))
    this.#destroy(made)
    return kept?.equals(value) ?? false
  }

  #reportsHistory(key: ObjectHandle): boolean {
    const read = (session: Session): unknown =>
      readBackCustodyAttributes(session, key, { reportsHistory: true })
    return this.#try(read) !== undefined
  }

  // ── what works ────────────────────────────────────────────────────────────────────────────────

  /** Tries the three IV models in the order in which they are strict about the IV. */
  #findings(key: ObjectHandle): GcmFindings | undefined {
    return (
      this.#ivFrom(key, randomBytes(12)) ??
      this.#ivFrom(key, Buffer.alloc(12)) ??
      this.#ivFrom(key, Buffer.alloc(0))
    )
  }

  #ivFrom(key: ObjectHandle, offered: Buffer): GcmFindings | undefined {
    const plaintext = randomBytes(32)
    const aad = Buffer.from('probe')
    const iv = Buffer.from(offered)
    const output = this.#try((session) =>
      session.encrypt(aesGcm({ iv, aad, tagBits: TAG_BITS }), key, plaintext, 32 + TAG_BYTES + 16),
    )
    if (!output) return undefined
    const appended = output.length - 32 - TAG_BYTES
    const ivModel = appended > 0 ? 'hsm-appended' : iv.equals(offered) ? 'host' : 'hsm-written'
    const usedIv = appended > 0 ? output.subarray(32 + TAG_BYTES) : iv
    if (usedIv.every((byte) => byte === 0)) return undefined // no IV at all, or one that nobody chose
    const sealed = output.subarray(0, 32 + TAG_BYTES)
    const opened = this.#try((session) =>
      session.decrypt(aesGcm({ iv: usedIv, aad, tagBits: TAG_BITS }), key, sealed, 32 + TAG_BYTES),
    )
    if (!opened?.equals(plaintext)) return undefined
    return { ivModel, ivBytes: usedIv.length, badTag: this.#badTag(key, usedIv, aad, sealed) }
  }

  /** The return code of a wrong tag. A token that takes it does not authenticate: throws CustodyError TOKEN_LIED. */
  #badTag(key: ObjectHandle, iv: Buffer, aad: Buffer, sealed: Buffer): string {
    const forged = Buffer.from(sealed)
    forged.writeUInt8(forged.readUInt8(forged.length - 1) ^ 1, forged.length - 1)
    try {
      this.#with((session) =>
        session.decrypt(aesGcm({ iv, aad, tagBits: TAG_BITS }), key, forged, 32 + TAG_BYTES),
      )
    } catch (error) {
      if (error instanceof Pkcs11Error) return error.ckrName
      throw error
    }
    throw new CustodyError('TOKEN_LIED', 'the token takes a GCM ciphertext with a wrong tag')
  }

  #assertCbcHmac(aes: ObjectHandle, mac: ObjectHandle | undefined): void {
    if (mac && this.#encrypts(aes, undefined, 32) && this.#macs(mac, 32)) return
    throw new CustodyError(
      'UNSUPPORTED',
      'neither AES-GCM nor AES-CBC with HMAC works in this token',
    )
  }

  #encrypts(key: ObjectHandle, gcm: GcmFindings | undefined, bytes: number): boolean {
    const input = Buffer.alloc(bytes)
    const mechanism = this.#cipher(gcm)
    return this.#try((session) => session.encrypt(mechanism, key, input, bytes + 64)) !== undefined
  }

  #macs(key: ObjectHandle, bytes: number): boolean {
    const input = Buffer.alloc(bytes)
    const output = this.#try((session) => session.sign(hmacSha256(), key, input, MAC_BYTES))
    return output?.length === MAC_BYTES
  }

  /** A fresh mechanism of the scheme found, with an IV of the kind that the token wants. */
  #cipher(gcm: GcmFindings | undefined): Mechanism {
    if (!gcm) return aesCbc(randomBytes(16))
    const ivs = {
      host: randomBytes(12),
      'hsm-written': Buffer.alloc(12),
      'hsm-appended': Buffer.alloc(0),
    }
    return aesGcm({ iv: ivs[gcm.ivModel], aad: Buffer.from('probe'), tagBits: TAG_BITS })
  }

  /** One where calls are quick or promise forms fail; else eight, within the session limit. */
  async #callsPerLane(
    key: ObjectHandle,
    gcm: GcmFindings | undefined,
    maxSessions: number | undefined,
  ): Promise<number> {
    if (this.#medianUseMs(key, gcm) < SLOW_USE_MS) return 1
    const session = this.#module.openSession(this.#slot, { readWrite: true })
    try {
      await session.encryptAsync(this.#cipher(gcm), key, Buffer.alloc(32), 96)
      return Math.max(1, Math.min(8, (maxSessions ?? 1024) - 2))
    } catch (error) {
      if (error instanceof Pkcs11Error) return 1
      throw error
    } finally {
      session.close()
    }
  }

  #medianUseMs(key: ObjectHandle, gcm: GcmFindings | undefined): number {
    const input = Buffer.alloc(32)
    const took = this.#with((session) =>
      Array.from({ length: TIMED_CALLS }, () => {
        const start = performance.now()
        session.encrypt(this.#cipher(gcm), key, input, 96)
        return performance.now() - start
      }),
    )
    return took.sort((a, b) => a - b)[TIMED_CALLS / 2] ?? 0
  }

  #opensReadOnlySession(): boolean {
    const opened = this.#attempt(() => this.#module.openSession(this.#slot, { readWrite: false }))
    opened?.close()
    return opened !== undefined
  }

  /** KWP under the number of the 2.40 drafts, where the token lists only that one. Lists lie: import proves it again. */
  #ownNumbers(): Record<string, number> {
    const listed = new Set(this.#module.mechanisms(this.#slot))
    return listed.has(0x210a) && !listed.has(0x210b) ? { CKM_AES_KEY_WRAP_KWP: 0x210a } : {}
  }

  // ── sessions ──────────────────────────────────────────────────────────────────────────────────

  #largest(sizes: readonly number[], works: (bytes: number) => boolean): number {
    return sizes.find((bytes) => works(bytes)) ?? 0
  }

  /** Every try gets a session of its own, for a refusal spoils it. */
  #with<T>(work: (session: Session) => T): T {
    const session = this.#module.openSession(this.#slot, { readWrite: true })
    try {
      return work(session)
    } finally {
      session.close()
    }
  }

  #try<T>(work: (session: Session) => T): T | undefined {
    return this.#attempt(() => this.#with(work))
  }

  #attempt<T>(work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      if (error instanceof Pkcs11Error) return undefined
      throw error
    }
  }
}
