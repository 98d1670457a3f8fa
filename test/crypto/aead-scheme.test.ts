import { expect } from 'chai'
import { AEAD_SCHEMES, findAeadScheme } from '../../src/crypto/aead-scheme.ts'

describe('AEAD schemes (ARCH-D7)', () => {
  // These numbers lie in ciphertexts all over the world: a change here loses data.
  it('keep their numbers for ever', () => {
    expect(AEAD_SCHEMES.AES_GCM.id).to.equal(1)
    expect(AEAD_SCHEMES.AES_CBC_HMAC.id).to.equal(2)
  })

  it('have a number each', () => {
    const ids = Object.values(AEAD_SCHEMES).map(({ id }) => id)
    expect(new Set(ids).size).to.equal(ids.length)
  })

  it('are found by their number', () => {
    for (const [name, { id }] of Object.entries(AEAD_SCHEMES)) {
      expect(findAeadScheme(id)).to.equal(name)
    }
  })

  for (const id of [0, 3, 255, Number.NaN]) {
    it(`has none with the number ${id}`, () => expect(findAeadScheme(id)).to.equal(undefined))
  }

  it('count encryptions where the IV is random and of 96 bits, and only there', () => {
    expect(AEAD_SCHEMES.AES_GCM.countsEncryptions).to.equal(true)
    expect(AEAD_SCHEMES.AES_CBC_HMAC.countsEncryptions).to.equal(false)
  })

  it('use keys of 256 bits, one object for each role', () => {
    for (const { objects } of Object.values(AEAD_SCHEMES)) {
      expect(objects.every(({ valueBytes }) => valueBytes === 32)).to.equal(true)
      expect(new Set(objects.map(({ role }) => role)).size).to.equal(objects.length)
    }
  })
})
