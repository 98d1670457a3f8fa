import { expect } from 'chai'
import { CustodyError } from '../../src/crypto/custody-error.ts'
import { exactlyOne, findObjects } from '../../src/pkcs11/find-object.ts'
import { aesKeyGen, genericSecretKeyGen } from '../../src/pkcs11/mechanism.ts'
import type { Session } from '../../src/pkcs11/session.ts'
import { secretKeyTemplate } from '../../src/pkcs11/template.ts'
import type { InProcessToken } from '../support/softhsm.ts'
import { inProcessToken } from '../support/softhsm.ts'

describe('finding an object by its name', () => {
  let token: InProcessToken
  let session: Session
  before(() => {
    token = inProcessToken()
    session = token.openSession()
  })
  after(() => session.close())

  function make(id: string, keyType: 'AES' | 'GENERIC_SECRET'): Buffer {
    const options = { id, label: id, keyType, valueBytes: 32, uses: [] } as const
    const mechanism = keyType === 'AES' ? aesKeyGen() : genericSecretKeyGen()
    return session.generateKey(mechanism, secretKeyTemplate(options, token.profile))
  }

  it('finds the one object, by an id in hex or in bytes', () => {
    const key = make('01', 'AES')
    for (const id of ['01', Buffer.of(1)])
      expect(exactlyOne(findObjects(session, { id, class: 'SECRET_KEY' }))).to.deep.equal(key)
  })

  it('ARCH-D5: sees a double, and refuses to choose', () => {
    for (let i = 0; i < 3; i++) make('02', 'AES')
    const found = findObjects(session, { id: '02', class: 'SECRET_KEY', keyType: 'AES' })
    expect(found).to.have.length(2)
    expect(() => exactlyOne(found))
      .to.throw(CustodyError)
      .that.includes({ code: 'KEY_AMBIGUOUS' })
  })

  it('ARCH-D5: class and key type are part of the name', () => {
    make('03', 'AES')
    const mac = make('03', 'GENERIC_SECRET')
    const name = { id: '03', class: 'SECRET_KEY', keyType: 'GENERIC_SECRET' } as const
    expect(exactlyOne(findObjects(session, name))).to.deep.equal(mac)
    expect(findObjects(session, { id: '03', class: 'DATA' })).to.deep.equal([])
  })

  it('says KEY_UNAVAILABLE when the token shows none', () => {
    expect(() => exactlyOne([]))
      .to.throw(CustodyError)
      .that.includes({ code: 'KEY_UNAVAILABLE' })
  })
})
