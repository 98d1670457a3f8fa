import { createCipheriv, createHmac } from 'node:crypto'
import { expect } from 'chai'
import { CKA, CKK, CKO } from '../../src/pkcs11/attribute.ts'
import { aesCbc, aesGcm, aesKeyGen, hmacSha256 } from '../../src/pkcs11/mechanism.ts'
import type { Session } from '../../src/pkcs11/session.ts'
import type { InProcessToken } from '../support/softhsm.ts'
import { inProcessToken } from '../support/softhsm.ts'

describe('mechanisms', () => {
  let token: InProcessToken
  let session: Session
  const value = Buffer.alloc(32, 7)

  before(() => {
    token = inProcessToken()
    session = token.openSession()
  })
  after(() => session.close())

  function sessionKey(keyType: number, use: number): Buffer {
    return session.createObject([
      { type: CKA.CLASS, value: CKO.SECRET_KEY },
      { type: CKA.KEY_TYPE, value: keyType },
      { type: CKA.TOKEN, value: false },
      { type: use, value: true },
      { type: CKA.VALUE, value },
    ])
  }

  for (const aad of [Buffer.from('context'), Buffer.alloc(0)])
    it(`AES-GCM in the token equals OpenSSL's, with ${aad.length} bytes of AAD`, () => {
      const iv = session.random(12)
      const plaintext = Buffer.from('attack at dawn')
      const cipher = createCipheriv('aes-256-gcm', value, iv).setAAD(aad)
      const expected = Buffer.concat([
        cipher.update(plaintext),
        cipher.final(),
        cipher.getAuthTag(),
      ])
      const key = sessionKey(CKK.AES, CKA.ENCRYPT)
      const sealed = session.encrypt(aesGcm({ iv, aad, tagBits: 128 }), key, plaintext, 64)
      expect(sealed).to.deep.equal(expected)
    })

  it("AES-CBC in the token equals OpenSSL's without padding", () => {
    const iv = session.random(16)
    const plaintext = Buffer.alloc(48, 3)
    const cipher = createCipheriv('aes-256-cbc', value, iv).setAutoPadding(false)
    const key = sessionKey(CKK.AES, CKA.ENCRYPT)
    expect(session.encrypt(aesCbc(iv), key, plaintext, 48)).to.deep.equal(
      Buffer.concat([cipher.update(plaintext), cipher.final()]),
    )
  })

  it("HMAC-SHA-256 in the token equals OpenSSL's", () => {
    const key = sessionKey(CKK.GENERIC_SECRET, CKA.SIGN)
    expect(session.sign(hmacSha256(), key, Buffer.from('m'), 32)).to.deep.equal(
      createHmac('sha256', value).update('m').digest(),
    )
  })

  it('hands the very IV buffer on, so that the token can write into it', () => {
    const iv = Buffer.alloc(12)
    const { parameter } = aesGcm({ iv, aad: Buffer.alloc(0), tagBits: 128 })
    expect(parameter).to.have.property('iv', iv)
  })

  it("ARCH-D15: takes a vendor's own number from the profile, and only its own entries", () => {
    expect(aesKeyGen({ mechanisms: { CKM_AES_KEY_GEN: 0x80001080 } }).mechanism).to.equal(
      0x80001080,
    )
    expect(aesKeyGen({ mechanisms: {} }).mechanism).to.equal(0x1080)
    const inherited = Object.create({ CKM_AES_KEY_GEN: 1 }) as Record<string, number>
    expect(aesKeyGen({ mechanisms: inherited }).mechanism).to.equal(0x1080)
  })
})
