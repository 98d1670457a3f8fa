import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'chai'
import type { Template } from '../../src/pkcs11/attribute.ts'
import { CKA, CKO } from '../../src/pkcs11/attribute.ts'
import { CKR } from '../../src/pkcs11/ckr.ts'
import type { Mechanism } from '../../src/pkcs11/mechanism.ts'
import { aesGcm, aesKeyGen } from '../../src/pkcs11/mechanism.ts'
import { Pkcs11Error } from '../../src/pkcs11/pkcs11-error.ts'
import type { Pkcs11Module, SlotHandle } from '../../src/pkcs11/pkcs11-module.ts'
import { openModule } from '../../src/pkcs11/pkcs11-module.ts'
import type { ObjectHandle, Session } from '../../src/pkcs11/session.ts'
import { dataObjectTemplate, secretKeyTemplate } from '../../src/pkcs11/template.ts'
import type { FaultModule } from '../support/fault-module.ts'
import { faultModule } from '../support/fault-module.ts'
import type { InProcessToken } from '../support/softhsm.ts'
import { inProcessToken } from '../support/softhsm.ts'

describe('Session', () => {
  let token: InProcessToken
  let session: Session
  let key: ObjectHandle

  const gcm = (iv: Buffer, aad = 'aad'): Mechanism =>
    aesGcm({ iv, aad: Buffer.from(aad), tagBits: 128 })

  before(() => {
    token = inProcessToken()
    key = token.anchor.generateKey(aesKeyGen(), keyTemplate('a1'))
  })
  beforeEach(() => {
    session = token.openSession()
  })
  afterEach(() => session.close())

  function keyTemplate(id: string): Template {
    return secretKeyTemplate(
      { id, label: `key ${id}`, keyType: 'AES', valueBytes: 32, uses: ['ENCRYPT', 'DECRYPT'] },
      token.profile,
    )
  }

  describe('operations', () => {
    for (const bytes of [0, 1, 32, 4096])
      it(`encrypts and decrypts ${bytes} bytes`, () => {
        const iv = session.random(12)
        const plaintext = session.random(bytes)
        const sealed = session.encrypt(gcm(iv), key, plaintext, bytes + 16)
        expect(sealed).to.have.length(bytes + 16)
        expect(session.decrypt(gcm(iv), key, sealed, bytes + 16)).to.deep.equal(plaintext)
        expect(session.tainted).to.equal(false)
      })

    it('returns plaintext and random bytes in memory of their own, so that wiping them wipes all', () => {
      const iv = session.random(12)
      const opened = session.decrypt(
        gcm(iv),
        key,
        session.encrypt(gcm(iv), key, Buffer.alloc(8), 24),
        24,
      )
      expect(opened.buffer.byteLength).to.equal(24)
      expect(iv.buffer.byteLength).to.equal(12)
    })

    it('is tainted by a wrong tag, and a fresh session works', () => {
      const iv = session.random(12)
      const sealed = session.encrypt(gcm(iv), key, Buffer.alloc(32), 48)
      sealed.writeUInt8(sealed.readUInt8(0) ^ 1, 0)
      expect(() => session.decrypt(gcm(iv), key, sealed, 48))
        .to.throw(Pkcs11Error)
        .that.includes({ ckrName: 'CKR_GENERAL_ERROR', ckrClass: 'AMBIGUOUS', call: 'C_Decrypt' })
      expect(session.tainted).to.equal(true)
      const fresh = token.openSession()
      expect(fresh.encrypt(gcm(iv), key, Buffer.alloc(32), 48)).to.have.length(48)
      fresh.close()
    })

    it('gives CKR_BUFFER_TOO_SMALL, and no bytes, when maxOutputBytes is too few', () => {
      expect(() => session.encrypt(gcm(session.random(12)), key, Buffer.alloc(32), 47))
        .to.throw(Pkcs11Error)
        .that.includes({ ckr: CKR.CKR_BUFFER_TOO_SMALL })
    })
  })

  describe('promise forms', () => {
    it('encrypt and decrypt, and one session carries one operation at a time', async () => {
      const iv = session.random(12)
      const sealing = session.encryptAsync(gcm(iv), key, Buffer.from('later'), 64)
      expect(() => session.random(1)).to.throw(TypeError, 'in flight')
      expect(() => session.close()).to.throw(TypeError, 'in flight')
      const sealed = await sealing
      const opened = await session.decryptAsync(gcm(iv), key, sealed, 64)
      expect(opened.toString()).to.equal('later')
    })

    it('reject with Pkcs11Error for a wrong tag, and leave the session free to close', async () => {
      const failure: unknown = await session
        .decryptAsync(gcm(session.random(12)), key, Buffer.alloc(48), 48)
        .catch((error: unknown) => error)
      expect(failure).to.be.instanceOf(Pkcs11Error)
      expect(failure).to.include({ call: 'C_Decrypt', ckrName: 'CKR_GENERAL_ERROR' })
      expect(session.tainted).to.equal(true)
    })

    it('use the bytes they were given, although nobody else holds them and the collector runs', async () => {
      setFlagsFromString('--expose-gc')
      const collect = runInNewContext('gc') as () => void
      const sessions = Array.from({ length: 8 }, () => token.openSession())
      const iv = session.random(12)
      for (let round = 0; round < 25; round++) {
        const fill = round + 1
        const sealing = sessions.map((one) =>
          one.encryptAsync(gcm(Buffer.from(iv)), key, Buffer.alloc(4096, fill), 4112),
        )
        collect()
        Buffer.alloc(65_536, 0xff)
        for (const sealed of await Promise.all(sealing))
          expect(session.decrypt(gcm(iv), key, sealed, 4112)).to.deep.equal(
            Buffer.alloc(4096, fill),
          )
      }
      for (const one of sessions) one.close()
    })
  })

  describe('objects', () => {
    it('finds all, finds none, and stops at the limit', () => {
      const made = ['b1', 'b2', 'b3'].map((id) =>
        session.generateKey(aesKeyGen(), [...keyTemplate(id)]),
      )
      const secretKeys = [{ type: CKA.CLASS, value: CKO.SECRET_KEY }]
      expect(session.find(secretKeys)).to.have.length(4)
      expect(session.find(secretKeys, 2)).to.have.length(2)
      expect(session.find([{ type: CKA.LABEL, value: 'nobody' }])).to.deep.equal([])
      for (const handle of made) session.destroyObject(handle)
      expect(session.find(secretKeys)).to.have.length(1)
    })

    it('reads attributes in the order asked', () => {
      const [label, id] = session.attributes(key, [CKA.LABEL, CKA.ID])
      expect(label?.toString()).to.equal('key a1')
      expect(id?.toString('hex')).to.equal('a1')
    })

    it('says undefined, untainted, for one attribute that is hidden or that the object has not', () => {
      expect(session.findAttribute(key, CKA.VALUE)).to.equal(undefined)
      const data = session.createObject(
        dataObjectTemplate(
          { label: 'd', application: 'test', value: Buffer.from('v') },
          token.profile,
        ),
      )
      expect(session.findAttribute(data, CKA.ID)).to.equal(undefined)
      expect(session.findAttribute(data, CKA.VALUE)?.toString()).to.equal('v')
      expect(session.tainted).to.equal(false)
      session.destroyObject(data)
    })

    it('changes a label, and hears from the token that a key stays unextractable', () => {
      session.setAttributes(key, [{ type: CKA.LABEL, value: 'renamed' }])
      expect(session.findAttribute(key, CKA.LABEL)?.toString()).to.equal('renamed')
      session.setAttributes(key, [{ type: CKA.LABEL, value: 'key a1' }])
      expect(() => session.setAttributes(key, [{ type: CKA.EXTRACTABLE, value: true }]))
        .to.throw(Pkcs11Error)
        .that.includes({ ckrName: 'CKR_ATTRIBUTE_READ_ONLY', ckrClass: 'USAGE' })
    })

    it('knows whether it is logged in', () => {
      expect(session.isLoggedIn()).to.equal(true)
      const stranger = inProcessToken()
      const outside = stranger.openSession()
      stranger.module.logout(outside)
      expect(outside.isLoggedIn()).to.equal(false)
      outside.close()
    })

    it('may be closed twice, and is of no use afterwards', () => {
      session.close()
      session.close()
      expect(() => session.random(1)).to.throw(TypeError, 'closed')
    })
  })

  describe('before the module', () => {
    let directory: string
    let faults: FaultModule
    let module: Pkcs11Module
    let slot: SlotHandle
    let recorded: Session

    before(() => {
      directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-faults-'))
      faults = faultModule(token.profile.modulePath, directory)
      Object.assign(process.env, faults.env) // the module reads it when it is loaded
      module = openModule({ modulePath: faults.modulePath, profile: token.profile })
      slot = module.slotOf({ serial: token.serial })
    })
    after(() => {
      for (const name of Object.keys(faults.env)) delete process.env[name]
      rmSync(directory, { recursive: true, force: true })
    })
    beforeEach(() => {
      recorded = module.openSession(slot, { readWrite: true })
      faults.forgetCalls()
    })
    afterEach(() => {
      faults.clear()
      recorded.close()
    })

    const buffer = Buffer.alloc(32)
    const iv = Buffer.alloc(12, 1)
    const wrong = <T>(value: unknown): T => value as T
    const WRONG_ARGUMENTS: readonly [string, (session: Session) => unknown][] = [
      ['a key that is a number', (s) => s.encrypt(gcm(iv), wrong(7), buffer, 64)],
      ['a key of 4 bytes', (s) => s.encrypt(gcm(iv), Buffer.alloc(4), buffer, 64)],
      ['an input that is a text', (s) => s.encrypt(gcm(iv), key, wrong('text'), 64)],
      ['an input that is a Uint8Array', (s) => s.sign(gcm(iv), key, wrong(new Uint8Array(4)), 64)],
      ['no output', (s) => s.decrypt(gcm(iv), key, buffer, 0)],
      ['a negative output', (s) => s.decrypt(gcm(iv), key, buffer, -1)],
      ['a mechanism that is a number', (s) => s.encrypt(wrong(0x1087), key, buffer, 64)],
      ['a GCM without IV', (s) => s.encrypt(gcm(wrong([])), key, buffer, 64)],
      [
        'an AAD that is a text',
        (s) =>
          s.encrypt(
            wrong({
              mechanism: 0x1087,
              parameter: { type: 7, iv, ivBits: 96, aad: 'x', tagBits: 128 },
            }),
            key,
            buffer,
            64,
          ),
      ],
      ['an attribute value that is an object', (s) => s.find([{ type: 0, value: wrong({}) }])],
      [
        'an attribute value that is a bigint',
        (s) => s.createObject([{ type: 0, value: wrong(1n) }]),
      ],
      ['an attribute value of 33 bits', (s) => s.find([{ type: 0, value: 2 ** 32 }])],
      ['a date attribute', (s) => s.find([{ type: 0x110, value: '20260101' }])],
      ['a template that is no array', (s) => s.generateKey(aesKeyGen(), wrong({}))],
      ['an attribute type that is a name', (s) => s.attributes(key, wrong(['CKA_ID']))],
      ['an object that is null', (s) => s.destroyObject(wrong(null))],
      ['half a random byte', (s) => s.random(0.5)],
    ]
    for (const [what, call] of WRONG_ARGUMENTS)
      it(`stops ${what} with a TypeError and no native call`, () => {
        expect(() => call(recorded)).to.throw(TypeError)
        expect(faults.calls()).to.deep.equal([])
        expect(recorded.tainted).to.equal(false)
      })

    it('ends a search also when the search failed', () => {
      faults.rules(['C_FindObjects rv=0x30'])
      expect(() => recorded.find([]))
        .to.throw(Pkcs11Error)
        .that.includes({ ckrName: 'CKR_DEVICE_ERROR', call: 'C_FindObjects' })
      expect(faults.countCalls('C_FindObjectsFinal')).to.equal(1)
    })

    it('reports a code of a vendor by its number', () => {
      faults.rules(['C_Encrypt rv=0x80000123'])
      expect(() => recorded.encrypt(gcm(iv), key, buffer, 64))
        .to.throw(Pkcs11Error)
        .that.includes({ ckr: 0x80000123, ckrClass: 'BUG' })
    })

    it('closes without a word when the module has forgotten the session', () => {
      faults.rules(['C_CloseSession rv=0xb3 post'])
      recorded.close()
      expect(faults.countCalls('C_CloseSession')).to.equal(1)
    })

    it('ARCH-D4: a login is one C_Login, also when it is refused', () => {
      faults.rules(['C_Login rv=0xa0'])
      expect(() => module.login(recorded, token.pin))
        .to.throw(Pkcs11Error)
        .that.includes({ ckrName: 'CKR_PIN_INCORRECT', ckrClass: 'PIN' })
      expect(faults.countCalls('C_Login')).to.equal(1)
    })
  })
})
