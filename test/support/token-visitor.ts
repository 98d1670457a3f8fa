import { execFileSync } from 'node:child_process'
import { json } from 'node:stream/consumers'
import { CKA, CKO } from '../../src/pkcs11/attribute.ts'
import { aesKeyGen } from '../../src/pkcs11/mechanism.ts'
import { openModule } from '../../src/pkcs11/pkcs11-module.ts'
import type { Session } from '../../src/pkcs11/session.ts'
import { secretKeyTemplate } from '../../src/pkcs11/template.ts'
import type { SoftHsmToken } from './softhsm.ts'

const APPLICATION = { type: CKA.APPLICATION, value: 'hsm-bridge' }

/** What somebody else who may log in could do to our token. */
const VISITS = {
  /** Destroys every object with this CKA_ID. */
  destroyKeys: (session: Session, id: string) => {
    for (const handle of session.find([{ type: CKA.ID, value: Buffer.from(id, 'hex') }]))
      session.destroyObject(handle)
  },
  /** Makes one more AES key with a CKA_ID that is taken. */
  duplicateKey: (session: Session, id: string) => {
    session.generateKey(aesKeyGen(), secretKeyTemplate(keyOptions(id), { omitAttributes: [] }))
  },
  /** Makes a key that may leave the token under the CKA_ID of a plan. */
  /** Puts a data object with one bit changed in the place of the one with this label. */
  tamperRecord: (session: Session, label: string) => {
    for (const handle of session.find([{ type: CKA.LABEL, value: label }])) {
      const value = session.attributes(handle, [CKA.VALUE])[0] ?? Buffer.alloc(0)
      value[value.length - 1] = (value.at(-1) ?? 0) ^ 1
      session.destroyObject(handle)
      leaveRecord(session, label, value)
    }
  },
  leaveRecord: (session: Session, label: string, hex = '') =>
    leaveRecord(session, label, Buffer.from(hex, 'hex')),
  /** Leaves an object as an interrupted write does: without label, id or application. */
  leaveBareObject: (session: Session) => {
    session.createObject([
      { type: CKA.CLASS, value: CKO.DATA },
      { type: CKA.TOKEN, value: true },
    ])
  },
  /** The value of the data objects with this label, in hex. */
  readRecords: (session: Session, label: string) =>
    session
      .find([{ type: CKA.LABEL, value: label }])
      .map((handle) => session.attributes(handle, [CKA.VALUE])[0]?.toString('hex')),
  /** Whether records can be written over. */
  modifyRecord: (session: Session, label: string) => {
    const [handle] = session.find([{ type: CKA.LABEL, value: label }])
    if (!handle) throw new Error(`no object is labelled ${label}`)
    try {
      session.setAttributes(handle, [{ type: CKA.VALUE, value: Buffer.from('other') }])
      return 'modified'
    } catch (error) {
      return (error as Error).message
    }
  },
} as const

function keyOptions(id: string) {
  return { id, label: 'visitor', keyType: 'AES', valueBytes: 32, uses: ['ENCRYPT'] } as const
}

function leaveRecord(session: Session, label: string, value: Buffer): void {
  session.createObject([
    { type: CKA.CLASS, value: CKO.DATA },
    { type: CKA.TOKEN, value: true },
    { type: CKA.PRIVATE, value: true },
    APPLICATION,
    { type: CKA.LABEL, value: label },
    { type: CKA.VALUE, value },
  ])
}

interface Visit {
  readonly modulePath: string
  readonly serial: string
  readonly pin: string
  readonly name: keyof typeof VISITS
  readonly parameters: string[]
}

/** Lets another process log in to the token and do one thing. Answers what it has to say. */
export function visitToken(
  token: SoftHsmToken,
  name: keyof typeof VISITS,
  ...parameters: string[]
): unknown {
  const { modulePath, serial, pin } = token
  const visit: Visit = { modulePath, serial, pin, name, parameters }
  const output = execFileSync(process.execPath, [import.meta.filename], {
    env: { ...token.env },
    input: JSON.stringify(visit),
  })
  return JSON.parse(output.toString('utf8'))
}

async function main(): Promise<void> {
  const visit = (await json(process.stdin)) as Visit
  const { modulePath, serial, pin, name, parameters } = visit
  const module = openModule({
    modulePath,
    profile: { ambiguousCkrs: [], readWriteSessionsOnly: true },
  })
  const session = module.openSession(module.slotOf({ serial }), { readWrite: true })
  module.login(session, pin)
  const act: (session: Session, ...parameters: string[]) => unknown = VISITS[name]
  process.stdout.write(JSON.stringify(act(session, ...parameters) ?? null))
}

if (import.meta.main) await main()
