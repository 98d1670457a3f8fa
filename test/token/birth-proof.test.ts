import { expect } from 'chai'
import { encodeBirthProof, findBirthProof } from '../../src/token/birth-proof.ts'

const SEALED = { iv: Buffer.alloc(12, 1), ciphertext: Buffer.alloc(40, 2) }

// That a proof opens under its own key, material and scheme only: lane.test.ts and evidence.test.ts.
describe('the bytes of a birth proof', () => {
  it('are read as they were written', () => {
    expect(findBirthProof(encodeBirthProof(SEALED))).to.deep.equal(SEALED)
  })

  it('carry both lengths in front', () => {
    const bytes = encodeBirthProof(SEALED)
    expect(bytes[0]).to.equal(12)
    expect(bytes.readUInt16BE(13)).to.equal(40)
    expect(bytes).to.have.length(1 + 12 + 2 + 40)
  })

  it('are none when some are missing or left over', () => {
    const bytes = encodeBirthProof(SEALED)
    for (let length = 0; length < bytes.length; length += 1)
      expect(findBirthProof(bytes.subarray(0, length)), `${length} bytes`).to.equal(undefined)
    expect(findBirthProof(Buffer.concat([bytes, Buffer.alloc(1)]))).to.equal(undefined)
  })
})
