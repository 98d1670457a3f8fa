import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { CKA } from '../../src/pkcs11/attribute.ts'
import { aesKeyGen } from '../../src/pkcs11/mechanism.ts'
import { secretKeyTemplate } from '../../src/pkcs11/template.ts'
import { ObjectIndex } from '../../src/token/object-index.ts'
import { inProcessToken } from '../support/softhsm.ts'

describe('a key that another process is making', () => {
  it('FM-F22: seen before it has its CKA_ID, it is found under it as soon as it has', () => {
    const token = inProcessToken()
    const session = token.openSession()
    const id = randomBytes(16).toString('hex')
    const whole = secretKeyTemplate(
      { id, label: 'key', keyType: 'AES', valueBytes: 32, uses: ['ENCRYPT'] },
      token.profile,
    )
    const handle = session.generateKey(
      aesKeyGen(),
      whole.filter(({ type }) => type !== CKA.ID),
    )
    const index = new ObjectIndex()
    index.rebuild(session)
    expect(index.has(id)).to.equal(false)

    session.setAttributes(handle, [{ type: CKA.ID, value: Buffer.from(id, 'hex') }])
    index.learn(session, () => {})
    expect(index.only(id).handle).to.deep.equal(handle)
    session.close()
  })
})
