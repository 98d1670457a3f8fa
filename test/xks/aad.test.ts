import { hash } from 'node:crypto'
import { expect } from 'chai'
import { gcmAad, hashedGcmAad } from '../../src/xks/aad.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { AAD_AND_CDIV, aadOf, hex } from './golden-vectors.ts'

describe('gcmAad', () => {
  it('has 12 golden vectors', () => expect(AAD_AND_CDIV.rows).to.have.lengthOf(12))

  for (const row of AAD_AND_CDIV.rows) {
    it(`XKS E-11: ${row.title}, as in the golden vector`, () => {
      const bytes = gcmAad(aadOf(row.aadBytes), hex(row.metadata))
      expect(hash('sha256', bytes)).to.equal(row.gcmAadSha256)
      if (row.gcmAad !== null) expect(bytes.toString('hex')).to.equal(row.gcmAad)
    })
  }

  it('XKS E-11: an absent AAD and an empty one are the same', () =>
    expect(gcmAad(undefined, undefined)).to.deep.equal(gcmAad(Buffer.alloc(0), Buffer.alloc(0))))

  it('XKS E-11, AT-C07: no byte can move between AAD and metadata', () => {
    const random = new SeededRandom()
    for (let round = 0; round < 300; round++) {
      const joined = Buffer.from(Array.from({ length: 20 }, () => Math.floor(random.between(0, 3))))
      const built = Array.from({ length: 21 }, (_, cut) =>
        gcmAad(joined.subarray(0, cut), joined.subarray(cut)).toString('hex'),
      )
      expect(new Set(built), `seed ${random.seed}`).to.have.lengthOf(21)
    }
  })

  it('XKS E-12: the length of an AAD of 65,535 bytes stands there, and 65,536 is refused, never 0', () => {
    expect(gcmAad(Buffer.alloc(65_535), undefined).readUInt16BE(0)).to.equal(65_535)
    expect(() => gcmAad(Buffer.alloc(65_536), undefined)).to.throw(RangeError)
  })
})

describe('hashedGcmAad', () => {
  for (const row of AAD_AND_CDIV.rows) {
    const aad = aadOf(row.aadBytes)
    if (aad === undefined) continue
    it(`${row.title}, as aws-kms-xks-proxy builds it`, () =>
      expect(hashedGcmAad(aad, hex(row.metadata)).toString('hex')).to.equal(row.hashedGcmAad))
  }
})
