import { randomBytes } from 'node:crypto'
import pkcs11 from 'pkcs11js'

/**
 * A small PKCS#11 program in a process of its own, driven by test/faults/fault-module.test.ts over IPC: a rule may end it.
 * Every operation runs in a fresh session beside one anchor session, because an injected error leaves operations open.
 */

export interface TokenProgramArguments {
  readonly modulePath: string
  readonly label: string
  readonly pin: string
}

const { modulePath, label, pin } = JSON.parse(process.argv[2] ?? '{}') as TokenProgramArguments
const LIBRARY = new pkcs11.PKCS11()
LIBRARY.load(modulePath)
LIBRARY.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK })
const slot = LIBRARY.C_GetSlotList(true).find(
  (s) => LIBRARY.C_GetTokenInfo(s).label.trim() === label,
)
if (!slot) throw new Error(`no token is labelled ${label}`)
const openSession = (): Buffer =>
  LIBRARY.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION)
const anchor = openSession()
LIBRARY.C_Login(anchor, pkcs11.CKU_USER, pin)

function generateKey(session: Buffer, id: string): Buffer {
  return LIBRARY.C_GenerateKey(session, { mechanism: pkcs11.CKM_AES_KEY_GEN }, [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
    { type: pkcs11.CKA_TOKEN, value: true },
    { type: pkcs11.CKA_SENSITIVE, value: true },
    { type: pkcs11.CKA_ID, value: Buffer.from(id, 'hex') },
    { type: pkcs11.CKA_ENCRYPT, value: true },
    { type: pkcs11.CKA_DECRYPT, value: true },
    { type: pkcs11.CKA_VALUE_LEN, value: 32 },
  ])
}
const ids = [randomBytes(16).toString('hex'), randomBytes(16).toString('hex')]
const keys = ids.map((id) => generateKey(anchor, id))

function gcm(iv: Buffer): pkcs11.Mechanism {
  const parameter = { type: pkcs11.CK_PARAMS_AES_GCM_v240, iv, ivBits: iv.length * 8, tagBits: 128 }
  return { mechanism: pkcs11.CKM_AES_GCM, parameter }
}

/** What the test may ask for; binary values travel as hex. */
export const OPERATIONS = {
  ids: () => ids,
  encrypt(session: Buffer, key: number, iv: string) {
    const used = Buffer.from(iv, 'hex')
    LIBRARY.C_EncryptInit(session, gcm(used), keys[key] as Buffer)
    const out = LIBRARY.C_Encrypt(session, Buffer.from('plaintext'), Buffer.alloc(64))
    return { iv: used.toString('hex'), ciphertext: out.toString('hex') }
  },
  decrypt(session: Buffer, key: number, iv: string, ciphertext: string) {
    LIBRARY.C_DecryptInit(session, gcm(Buffer.from(iv, 'hex')), keys[key] as Buffer)
    const input = Buffer.from(ciphertext, 'hex')
    return LIBRARY.C_Decrypt(session, input, Buffer.alloc(64)).toString()
  },
  random: (session: Buffer, bytes: number) =>
    LIBRARY.C_GenerateRandom(session, Buffer.alloc(bytes)).toString('hex'),
  generate: (session: Buffer, id: string) => generateKey(session, id).toString('hex'),
  find(session: Buffer, id: string, limit: number) {
    LIBRARY.C_FindObjectsInit(session, [{ type: pkcs11.CKA_ID, value: Buffer.from(id, 'hex') }])
    try {
      return LIBRARY.C_FindObjects(session, limit).map((handle) => handle.toString('hex'))
    } finally {
      LIBRARY.C_FindObjectsFinal(session)
    }
  },
  label: (session: Buffer, key: number) =>
    LIBRARY.C_GetAttributeValue(session, keys[key] as Buffer, [
      { type: pkcs11.CKA_ID },
      { type: pkcs11.CKA_SENSITIVE },
    ]).length,
  serial: () => LIBRARY.C_GetTokenInfo(slot).serialNumber.trim(),
  maxSessions: () => LIBRARY.C_GetTokenInfo(slot).maxSessionCount,
  sessionState: () => LIBRARY.C_GetSessionInfo(anchor).state,
  nothing: () => 'done',
  /** `count` encryptions at once, each in a session and a thread of its own. */
  async encryptAtOnce(_session: Buffer, count: number) {
    const started = performance.now()
    await Promise.all(
      Array.from({ length: count }, async () => {
        const session = openSession()
        const mechanism = gcm(randomBytes(12))
        const input = Buffer.from('plaintext')
        const output = Buffer.alloc(64)
        LIBRARY.C_EncryptInit(session, mechanism, keys[0] as Buffer)
        await LIBRARY.C_EncryptAsync(session, input, output)
        LIBRARY.C_CloseSession(session)
        return [mechanism, input] // referenced until here, as the native call needs them
      }),
    )
    return performance.now() - started
  },
} as const

export interface TokenProgramRequest {
  readonly name: keyof typeof OPERATIONS
  readonly args: readonly unknown[]
}
export type TokenProgramReply = { readonly value: unknown } | { readonly ckr: number }

async function perform({ name, args }: TokenProgramRequest): Promise<TokenProgramReply> {
  let session: Buffer | undefined
  try {
    session = openSession()
    const operation = OPERATIONS[name] as (session: Buffer, ...rest: readonly unknown[]) => unknown
    return { value: await operation(session, ...args) }
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (typeof code !== 'number') throw error
    return { ckr: code }
  } finally {
    try {
      if (session) LIBRARY.C_CloseSession(session)
    } catch {
      // closed by a rule
    }
  }
}

process.on('message', (request: TokenProgramRequest) => {
  void perform(request).then((reply) => process.send?.(reply))
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
