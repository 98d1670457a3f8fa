import { expect } from 'chai'
import { cdiv, cdivPrefix } from '../../src/xks/cdiv.ts'
import { AAD_AND_CDIV, aadOf, hex } from './golden-vectors.ts'

const bytes = (text: string) => Buffer.from(text, 'hex')

describe('cdiv', () => {
  it('XKS E-14: is the value of the specification for its example', () => {
    const { aad, metadata, iv, ciphertext, tag, cdiv: expected } = AAD_AND_CDIV.specification
    const sealed = { iv: bytes(iv), ciphertext: bytes(ciphertext + tag) }
    const value = cdiv(cdivPrefix(bytes(aad), bytes(metadata)), sealed)
    expect(value.toString('base64')).to.equal(expected)
    expect(expected).to.equal('qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc=')
  })

  const sealed = {
    iv: bytes(AAD_AND_CDIV.iv),
    ciphertext: bytes(AAD_AND_CDIV.ciphertext + AAD_AND_CDIV.tag),
  }
  for (const row of AAD_AND_CDIV.rows) {
    it(`XKS E-14: ${row.title}, as in the golden vector`, () => {
      const prefix = cdivPrefix(aadOf(row.aadBytes), hex(row.metadata))
      expect(cdiv(prefix, sealed).toString('base64')).to.equal(row.cdiv)
    })
  }
})
