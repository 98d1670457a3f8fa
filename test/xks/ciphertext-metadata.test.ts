import { expect } from 'chai'
import {
  ciphertextMetadata,
  findMaterial,
  isOurMetadata,
  MAX_METADATA_BYTES,
} from '../../src/xks/ciphertext-metadata.ts'
import { XksRig } from './rig.ts'

describe('ciphertextMetadata', () => {
  const rig = new XksRig()
  rig.rotate()
  rig.rotate()

  it('XKS E-13: says the scheme, then half of the KeyMaterialId', () => {
    const metadata = ciphertextMetadata(rig.key.current)
    expect(metadata.toString('hex')).to.equal(`01${rig.key.current.materialId.slice(0, 32)}`)
  })

  it('XKS E-09: fits into 20 bytes', () => {
    expect(ciphertextMetadata(rig.key.current).length).to.be.at.most(MAX_METADATA_BYTES)
    expect(MAX_METADATA_BYTES).to.equal(20)
  })

  it('a KeyMaterialId of another form is a mistake of ours', () =>
    expect(() => ciphertextMetadata({ ...rig.key.current, materialId: 'abc' })).to.throw(TypeError))

  it('leads back to each material of the key', () => {
    for (const material of rig.key.materials) {
      const metadata = ciphertextMetadata(material)
      expect(isOurMetadata(metadata)).to.equal(true)
      expect(findMaterial(rig.key, metadata)).to.equal(material)
    }
  })

  it('AT-C09: leads to no material of another key', () =>
    expect(findMaterial(rig.key, ciphertextMetadata(new XksRig().key.current))).to.equal(undefined))

  for (const [what, metadata] of [
    ['none', undefined],
    ['an empty one', Buffer.alloc(0)],
    ['another scheme', Buffer.alloc(17, 2)],
    ['one byte less', Buffer.alloc(16, 1)],
    ['one byte more', Buffer.alloc(18, 1)],
  ] as const)
    it(`${what} is not ours`, () => expect(isOurMetadata(metadata)).to.equal(false))
})
