import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { json } from 'node:stream/consumers'
import { type AttributeName, CKA, CKK, CKO, ulongOf } from '../../src/pkcs11/attribute.ts'
import { aesKeyGen } from '../../src/pkcs11/mechanism.ts'
import { openModule } from '../../src/pkcs11/pkcs11-module.ts'
import type { Session } from '../../src/pkcs11/session.ts'
import { dataObjectTemplate, secretKeyTemplate } from '../../src/pkcs11/template.ts'
import type { SoftHsmToken } from './softhsm.ts'
import type { TokenObject } from './token-object.ts'

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
  /** Makes, or imports, a key as somebody else does who has used this token for years. */
  makeForeignKey: (session: Session, json: string) => {
    const key = JSON.parse(json) as ForeignKey
    const changes = new Map<number, boolean>(
      Object.entries(key.changes ?? {}).map(([name, value]) => [CKA[name as AttributeName], value]),
    )
    const uses = ['ENCRYPT', 'DECRYPT'] as const
    const options = { ...key, keyType: 'AES', valueBytes: key.valueBytes ?? 32, uses } as const
    const profile = { omitAttributes: key.imported ? ['CKA_VALUE_LEN'] : [] }
    const template = secretKeyTemplate(options, profile).map(({ type, value }) => ({
      type,
      value: changes.get(type) ?? value,
    }))
    if (!key.imported) session.generateKey(aesKeyGen(), template)
    else session.createObject([...template, { type: CKA.VALUE, value: randomBytes(32) }])
  },
  /** Every object, with its value; a key must be one that may leave. */
  readObjects: (session: Session) => session.find([]).map((handle) => readObject(session, handle)),
  /** Makes keys of known values and records, as they were read out once. Only for golden databases. */
  putObjects: (session: Session, objects: string) => {
    for (const object of JSON.parse(objects) as TokenObject[]) putObject(session, object)
  },
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

const USES = ['ENCRYPT', 'DECRYPT', 'SIGN', 'VERIFY', 'WRAP', 'UNWRAP', 'DERIVE'] as const

function readObject(session: Session, handle: Buffer): TokenObject {
  const read = (name: AttributeName) =>
    session.attributes(handle, [CKA[name]])[0] ?? Buffer.alloc(0)
  const common = { label: read('LABEL').toString('utf8'), value: read('VALUE').toString('hex') }
  if (ulongOf(read('CLASS')) === CKO.DATA)
    return { class: 'DATA', ...common, application: read('APPLICATION').toString('utf8') }
  return {
    class: 'SECRET_KEY',
    ...common,
    keyType: ulongOf(read('KEY_TYPE')) === CKK.AES ? 'AES' : 'GENERIC_SECRET',
    id: read('ID').toString('hex'),
    uses: USES.filter((use) => read(use)[0] === 1),
  }
}

function putObject(session: Session, object: TokenObject): void {
  const value = Buffer.from(object.value, 'hex')
  const profile = { omitAttributes: ['CKA_VALUE_LEN'] }
  const template =
    object.class === 'DATA'
      ? dataObjectTemplate({ ...object, value }, profile)
      : [
          ...secretKeyTemplate({ ...object, valueBytes: value.length }, profile),
          { type: CKA.VALUE, value },
        ]
  session.createObject(template)
}

/** A key that is not ours. `changes` are attributes that differ from our own keys'. */
export interface ForeignKey {
  readonly id: string
  readonly label: string
  readonly valueBytes?: number
  readonly imported?: boolean
  readonly changes?: Partial<Record<AttributeName, boolean>>
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
