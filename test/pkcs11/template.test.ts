import { expect } from 'chai'
import { CustodyError } from '../../src/crypto/custody-error.ts'
import { CKA, CKK, CKO, ulongOf } from '../../src/pkcs11/attribute.ts'
import { aesKeyGen, genericSecretKeyGen } from '../../src/pkcs11/mechanism.ts'
import { Pkcs11Error } from '../../src/pkcs11/pkcs11-error.ts'
import type { Session } from '../../src/pkcs11/session.ts'
import type { CustodyAttributes } from '../../src/pkcs11/template.ts'
import {
  assertNeverLeaves,
  dataObjectTemplate,
  readBackCustodyAttributes,
  secretKeyTemplate,
} from '../../src/pkcs11/template.ts'
import type { InProcessToken } from '../support/softhsm.ts'
import { inProcessToken } from '../support/softhsm.ts'

describe('templates', () => {
  let token: InProcessToken
  let session: Session
  const AES = {
    id: '0a0b',
    label: 'aes',
    keyType: 'AES',
    valueBytes: 32,
    uses: ['ENCRYPT', 'DECRYPT'],
  } as const
  const MAC = { ...AES, label: 'mac', keyType: 'GENERIC_SECRET', uses: ['SIGN'] } as const

  before(() => {
    token = inProcessToken()
    session = token.openSession()
  })
  after(() => session.close())

  it('ARCH-D6: a key made from them says itself that it never leaves the token', () => {
    for (const [options, mechanism] of [
      [AES, aesKeyGen()],
      [MAC, genericSecretKeyGen()],
    ] as const) {
      const key = session.generateKey(mechanism, secretKeyTemplate(options, token.profile))
      const attributes = readBackCustodyAttributes(session, key, token.profile)
      expect(attributes).to.deep.equal({
        token: true,
        private: true,
        sensitive: true,
        extractable: false,
        local: true,
        alwaysSensitive: true,
        neverExtractable: true,
      })
      assertNeverLeaves(attributes)
    }
  })

  it('ARCH-D6: a key may be used for what is named and for nothing else', () => {
    const key = session.generateKey(aesKeyGen(), secretKeyTemplate(AES, token.profile))
    const uses = [CKA.ENCRYPT, CKA.DECRYPT, CKA.SIGN, CKA.VERIFY, CKA.WRAP, CKA.UNWRAP, CKA.DERIVE]
    const allowed = session.attributes(key, uses).map((value) => value?.[0])
    expect(allowed).to.deep.equal([1, 1, 0, 0, 0, 0, 0])
    const [keyType, length] = session.attributes(key, [CKA.KEY_TYPE, CKA.VALUE_LEN])
    expect(ulongOf(keyType ?? Buffer.alloc(0))).to.equal(CKK.AES)
    expect(ulongOf(length ?? Buffer.alloc(0))).to.equal(32)
  })

  const HONEST: CustodyAttributes = {
    token: true,
    private: true,
    sensitive: true,
    extractable: false,
    local: true,
    alwaysSensitive: true,
    neverExtractable: true,
  }
  for (const [field, value] of Object.entries(HONEST))
    it(`ARCH-D6: a token that says ${field} = ${!value} has lied`, () => {
      expect(() => assertNeverLeaves({ ...HONEST, [field]: !value }))
        .to.throw(CustodyError, `${field} = ${!value}`)
        .that.includes({ code: 'TOKEN_LIED' })
    })

  it('ARCH-D6: an extractable key is caught when it is read back from a token', () => {
    const loose = secretKeyTemplate(AES, { omitAttributes: ['CKA_EXTRACTABLE', 'CKA_SENSITIVE'] })
    const key = session.generateKey(aesKeyGen(), [
      ...loose,
      { type: CKA.EXTRACTABLE, value: true },
      { type: CKA.SENSITIVE, value: false },
    ])
    const attributes = readBackCustodyAttributes(session, key, token.profile)
    expect(() => assertNeverLeaves(attributes)).to.throw(
      CustodyError,
      'sensitive = false, extractable = true, alwaysSensitive = false, neverExtractable = false',
    )
  })

  it('does not ask for history where the token does not report it', () => {
    const key = session.generateKey(aesKeyGen(), secretKeyTemplate(AES, token.profile))
    const attributes = readBackCustodyAttributes(session, key, { reportsHistory: false })
    expect(attributes).to.have.all.keys('token', 'private', 'sensitive', 'extractable')
    assertNeverLeaves(attributes)
  })

  it('leaves out what the profile says the token refuses', () => {
    const types = secretKeyTemplate(AES, { omitAttributes: ['CKA_DERIVE', 'CKA_WRAP'] }).map(
      ({ type }) => type,
    )
    expect(types).to.not.include.members([CKA.DERIVE])
    expect(types).to.not.include.members([CKA.WRAP])
    expect(types).to.include.members([CKA.SENSITIVE, CKA.UNWRAP])
  })

  it('ARCH-D11: a data object keeps its value, and nobody may change it', () => {
    const value = Buffer.from('record')
    const template = dataObjectTemplate({ label: 'r', application: 'a', value }, token.profile)
    const handle = session.createObject(template)
    expect(session.findAttribute(handle, CKA.VALUE)).to.deep.equal(value)
    expect(session.findAttribute(handle, CKA.PRIVATE)).to.deep.equal(Buffer.of(1))
    expect(ulongOf(session.findAttribute(handle, CKA.CLASS) ?? Buffer.alloc(0))).to.equal(CKO.DATA)
    expect(() => session.setAttributes(handle, [{ type: CKA.VALUE, value: Buffer.from('forged') }]))
      .to.throw(Pkcs11Error)
      .that.includes({ ckrClass: 'USAGE' })
  })
})
