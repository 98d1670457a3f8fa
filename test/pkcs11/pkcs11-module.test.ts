import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { expect } from 'chai'
import { CustodyError } from '../../src/crypto/custody-error.ts'
import { CKA } from '../../src/pkcs11/attribute.ts'
import { aesKeyGen } from '../../src/pkcs11/mechanism.ts'
import { Pkcs11Error } from '../../src/pkcs11/pkcs11-error.ts'
import { openModule } from '../../src/pkcs11/pkcs11-module.ts'
import { secretKeyTemplate } from '../../src/pkcs11/template.ts'
import type { InProcessToken } from '../support/softhsm.ts'
import { inProcessToken } from '../support/softhsm.ts'

describe('Pkcs11Module', () => {
  let token: InProcessToken
  before(() => {
    token = inProcessToken()
  })

  describe('loading', () => {
    const open = (modulePath: string): unknown => openModule({ modulePath, profile: token.profile })

    it('AT-K05: refuses a path that is not absolute', () => {
      expect(() => open(basename(token.profile.modulePath))).to.throw(TypeError, 'not absolute')
    })

    it('AT-K05: refuses a library that everybody may write or replace', () => {
      const directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-module-'))
      const open777 = join(directory, 'open')
      mkdirSync(open777)
      const replaceable = join(open777, 'module.so')
      const writable = join(directory, 'module.so')
      for (const path of [replaceable, writable]) copyFileSync(token.profile.modulePath, path)
      chmodSync(open777, 0o777)
      chmodSync(writable, 0o666)
      for (const path of [replaceable, writable])
        expect(() => open(path)).to.throw(CustodyError, 'can be written by everybody')
      rmSync(directory, { recursive: true })
    })

    it('says DEVICE_GONE for a library that does not exist or is none', () => {
      for (const path of ['/nonexistent/module.so', '/etc/hostname'])
        expect(() => open(path))
          .to.throw(CustodyError)
          .that.includes({ code: 'DEVICE_GONE' })
    })

    it('shares the state of a module that is initialised already', () => {
      const again = openModule({ modulePath: token.profile.modulePath, profile: token.profile })
      expect(again.slotOf({ serial: token.serial })).to.deep.equal(token.slot)
    })
  })

  describe('tokens', () => {
    it('finds a token by serial or by label', () => {
      expect(token.module.slotOf({ label: token.label })).to.deep.equal(token.slot)
      const info = token.module.tokenInfo(token.slot)
      expect(info).to.include({
        label: token.label,
        serial: token.serial,
        manufacturer: 'SoftHSM project',
        initialized: true,
        loginRequired: true,
        userPinInitialized: true,
        userPinLocked: false,
        maxSessions: undefined,
      })
      expect(info.hardware).to.match(/^\d+\.\d+$/)
      expect(info.firmware).to.match(/^\d+\.\d+$/)
    })

    it('refuses a name that no token has, or that two have', () => {
      const twin = { label: token.label, soPin: 'so-pin-so-pin', userPin: 'user-pin' }
      token.module.initToken(twin)
      expect(() => token.module.slotOf({ serial: 'nobody' })).to.throw(CustodyError, '0 tokens')
      expect(() => token.module.slotOf({ label: token.label })).to.throw(CustodyError, '2 tokens')
    })

    it('never takes the slot without a token for one', () => {
      for (const info of token.module.tokens()) expect(info.initialized).to.equal(true)
      expect(() => token.module.slotOf({ serial: '' })).to.throw(CustodyError, '0 tokens')
    })

    it('lists mechanisms', () => {
      expect(token.module.mechanisms(token.slot)).to.include(0x1087)
    })

    it('refuses a label of more than 32 bytes before it touches a slot', () => {
      const tooLong = { label: 'ü'.repeat(17), soPin: 'so-pin-so-pin', userPin: 'user-pin' }
      const before = token.module.tokens().length
      expect(() => token.module.initToken(tooLong)).to.throw(TypeError)
      expect(token.module.tokens()).to.have.length(before)
    })
  })

  describe('login', () => {
    it('says whether this call logged in, for with a login the PIN is not looked at', () => {
      const own = inProcessToken()
      expect(own.module.login(own.anchor, 'not the PIN')).to.equal(false)
      own.module.logout(own.anchor)
      expect(own.module.login(own.anchor, own.pin)).to.equal(true)
    })

    it('throws a PIN error for a wrong PIN, and the token counts it', () => {
      const own = inProcessToken()
      own.module.logout(own.anchor)
      expect(() => own.module.login(own.anchor, 'not the PIN'))
        .to.throw(Pkcs11Error)
        .that.includes({ ckrName: 'CKR_PIN_INCORRECT', ckrClass: 'PIN', call: 'C_Login' })
      expect(own.module.tokenInfo(own.slot).userPinCountLow).to.equal(true)
    })

    it('refuses an empty PIN and one with NUL without a try', () => {
      for (const pin of ['', 'a\0b'])
        expect(() => token.module.login(token.anchor, pin)).to.throw(TypeError)
      expect(token.module.tokenInfo(token.slot).userPinCountLow).to.equal(false)
    })

    it('a logout ends the handles of private objects, and another login does not bring them back', () => {
      const own = inProcessToken()
      const template = secretKeyTemplate(
        { id: '01', label: 'k', keyType: 'AES', valueBytes: 32, uses: ['ENCRYPT'] },
        own.profile,
      )
      const key = own.anchor.generateKey(aesKeyGen(), template)
      own.module.logout(own.anchor)
      own.module.login(own.anchor, own.pin)
      expect(() => own.anchor.attributes(key, [CKA.ID]))
        .to.throw(Pkcs11Error)
        .that.includes({ ckrClass: 'HANDLE' })
      expect(own.openSession().find([{ type: CKA.LABEL, value: 'k' }])).to.have.length(1)
    })
  })

  it('opens read-only sessions, but not on a token whose profile says it has none', () => {
    const template = [
      { type: CKA.CLASS, value: 0 },
      { type: CKA.TOKEN, value: true },
    ]
    const readOnly = token.module.openSession(token.slot, { readWrite: false })
    expect(() => readOnly.createObject(template)).to.throw(Pkcs11Error, 'CKR_SESSION_READ_ONLY')
    readOnly.close()
    const { modulePath, profile } = { ...token.profile, profile: token.profile }
    const always = openModule({ modulePath, profile: { ...profile, readWriteSessionsOnly: true } })
    const session = always.openSession(token.slot, { readWrite: false })
    session.destroyObject(session.createObject(template))
    session.close()
  })
})
