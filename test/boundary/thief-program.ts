import { text } from 'node:stream/consumers'
import pkcs11, { type Mechanism, type Template } from 'pkcs11js'

/**
 * Somebody who has the PIN and wants the keys: started by witnesses.test.ts with module and serial as arguments and the PIN
 * on stdin. Prints what the token answered to each attempt on each secret key.
 */

export interface Attempt {
  readonly id: string
  readonly label: string
  readonly attempt: string
  /** CKR_…; 0 is a success. */
  readonly ckr: number
}

const CKM_AES_KEY_WRAP = 0x2109
const LABEL_OF_OWN_KEY = 'thief'

const [modulePath = '', serial = ''] = process.argv.slice(2)
const pin = await text(process.stdin)
const library = new pkcs11.PKCS11()
library.load(modulePath)
library.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK })
const slot = library
  .C_GetSlotList(true)
  .find((candidate) => library.C_GetTokenInfo(candidate).serialNumber.trim() === serial)
if (!slot) throw new Error(`no token has the serial ${serial}`)
const session = library.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION)
library.C_Login(session, pkcs11.CKU_USER, pin)

/** A session key of the thief's own that may leave and may wrap: the attempts work on a key that permits them. */
const ownKey = library.C_GenerateKey(
  session,
  { mechanism: pkcs11.CKM_AES_KEY_GEN, parameter: null } as unknown as Mechanism,
  [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
    { type: pkcs11.CKA_TOKEN, value: false },
    { type: pkcs11.CKA_LABEL, value: LABEL_OF_OWN_KEY },
    { type: pkcs11.CKA_SENSITIVE, value: false },
    { type: pkcs11.CKA_EXTRACTABLE, value: true },
    { type: pkcs11.CKA_WRAP, value: true },
    { type: pkcs11.CKA_VALUE_LEN, value: 32 },
  ],
)

const ATTEMPTS: Readonly<Record<string, (key: Buffer) => unknown>> = {
  'read CKA_VALUE': (key) =>
    library.C_GetAttributeValue(session, key, [{ type: pkcs11.CKA_VALUE }]),
  'wrap it under a key of mine': (key) =>
    library.C_WrapKey(
      session,
      { mechanism: CKM_AES_KEY_WRAP, parameter: null } as unknown as Mechanism,
      ownKey,
      key,
      Buffer.alloc(256),
    ),
  'copy it as extractable': (key) =>
    library.C_CopyObject(session, key, only(pkcs11.CKA_EXTRACTABLE, true)),
  'copy it as not sensitive': (key) =>
    library.C_CopyObject(session, key, only(pkcs11.CKA_SENSITIVE, false)),
  'make it extractable': (key) =>
    library.C_SetAttributeValue(session, key, only(pkcs11.CKA_EXTRACTABLE, true)),
  'make it not sensitive': (key) =>
    library.C_SetAttributeValue(session, key, only(pkcs11.CKA_SENSITIVE, false)),
}

function only(type: number, value: boolean): Template {
  return [{ type, value }]
}

function secretKeys(): Buffer[] {
  library.C_FindObjectsInit(session, [{ type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY }])
  const found = library.C_FindObjects(session, 1000)
  library.C_FindObjectsFinal(session)
  return found
}

function valueOf(key: Buffer, type: number): Buffer {
  return library.C_GetAttributeValue(session, key, [{ type }])[0]?.value as Buffer
}

function outcomeOf(attempt: () => unknown): number {
  try {
    attempt()
    return 0
  } catch (error) {
    const { code, message } = error as { code?: unknown; message: string }
    if (typeof code === 'number') return code
    const [, inText] = /^CKR_\w+:(\d+)$/.exec(message) ?? [] // pkcs11js forgets the code of C_CopyObject
    if (inText === undefined) throw error
    return Number(inText)
  }
}

const attempts: Attempt[] = secretKeys().flatMap((key) => {
  const name = {
    id: valueOf(key, pkcs11.CKA_ID).toString('hex'),
    label: valueOf(key, pkcs11.CKA_LABEL).toString('utf8'),
  }
  return Object.entries(ATTEMPTS).map(([attempt, make]) => ({
    ...name,
    attempt,
    ckr: outcomeOf(() => make(key)),
  }))
})
process.stdout.write(JSON.stringify(attempts))
