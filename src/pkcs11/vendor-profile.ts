/**
 * What one vendor's token really does, measured: `native-config/<vendor>.json` (ARCH-D15). Code asks these fields and
 * never the vendor's name. `native-config/profile.schema.json` is the same as JSON Schema.
 */
export interface VendorProfile {
  readonly name: string
  readonly vendor: string
  readonly measured: { readonly by: string; readonly on: string; readonly firmware: string }
  /** Default place of the module; configuration may name another. */
  readonly modulePath: string

  /** How this token encrypts with associated data (crypto/aead-scheme.ts). */
  readonly aeadScheme: 'AES_GCM' | 'AES_CBC_HMAC'
  /** Who makes the GCM IV: we (from C_GenerateRandom), the HSM (written into pIv), or the HSM (appended behind the tag). */
  readonly ivModel: 'host' | 'hsm-written' | 'hsm-appended'
  readonly ivBytes: number
  /** Longest input of one C_Encrypt or C_Decrypt; longer CBC input is chunked, longer GCM input is refused. */
  readonly maxCipherBytes: number
  /** Longest input of one C_Sign under HMAC. */
  readonly maxMacBytes: number

  readonly maxIdBytes: number
  readonly maxLabelBytes: number
  /** Whether CKO_DATA objects can be kept, and how long their value may be. */
  readonly dataObjects: boolean
  readonly maxDataBytes: number

  /** Sessions that one process may open. */
  readonly maxSessions: number
  /** Calls that one lane serves at once: 1 is synchronous, more uses promise-form calls on leased sessions. */
  readonly callsPerLane: number
  readonly hotLanes: number
  /** C_GenerateRandom draws at least this many bytes and hands them out piecemeal; 0 draws exactly what is asked, but for IVs. */
  readonly randomBatchBytes: number

  /** Deadlines in milliseconds (ARCH-D2): one try of a use, the use with its retry, finds, and writes with logins. */
  readonly deadlinesMs: {
    readonly use: number
    readonly useTotal: number
    readonly find: number
    readonly write: number
  }
  /** Whether a lane may be SIGKILLed inside a login or an object write without harm to the token. */
  readonly killSafe: boolean
  /** Files that C_Login rewrites in place; a lane copies them first and restores a truncated one. Globs below the token directory. */
  readonly loginRewritesFiles: readonly string[]
  /** Session flags: some tokens know only read/write sessions. */
  readonly readWriteSessionsOnly: boolean
  /** Failed logins after which the token locks the PIN; 0 means it was never seen to lock. */
  readonly loginLimit: number

  /** Return codes, by name, that this token uses both for bad input and for its own trouble: believed only on evidence. */
  readonly ambiguousCkrs: readonly string[]
  /** Mechanism numbers where they differ from the standard, by standard name. */
  readonly mechanisms: Readonly<Record<string, number>>
  /** Attributes the token refuses in a template although the standard allows them. */
  readonly omitAttributes: readonly string[]
  /** CKA_LOCAL, CKA_ALWAYS_SENSITIVE and CKA_NEVER_EXTRACTABLE are reported by this token. */
  readonly reportsHistory: boolean
  /**
   * Hot lanes use session copies (C_CopyObject, CKA_TOKEN false) of the keys that they have proven. Only for modules in whose
   * process the keys live anyway, and where each use of a token object costs more than the cipher (SoftHSM2).
   */
  readonly sessionCopies: boolean

  readonly import: {
    /** The token is no hardware boundary, so unwrapping on the host loses nothing. Only ever true for a software token. */
    readonly allowHostUnwrap: boolean
  }
}
