import { createHmac } from 'node:crypto'
import { expect } from 'chai'
import {
  encodeTokenRecord,
  findTokenRecord,
  type TokenRecord,
} from '../../src/token/token-record.ts'
import { itemAt } from '../support/item-at.ts'
import { ORIGIN } from '../support/lane-client.ts'

const mac = (input: Buffer) => createHmac('sha256', 'record key').update(input).digest()

const MATERIAL: TokenRecord = {
  kind: 'material',
  material: {
    materialId: 'ab'.repeat(32),
    scheme: 'AES_GCM',
    objects: [{ role: 'cipher', tokenSerial: '0123', keyType: 'AES', id: 'cd'.repeat(16) }],
    proof: 'cHJvb2Y=',
  },
  origin: ORIGIN,
}
const OWNER: TokenRecord = { kind: 'owner', owner: { instanceId: 'one', lineage: 3 } }

describe('the bytes of a token record', () => {
  for (const record of [MATERIAL, { ...MATERIAL, kind: 'canary' } as const, OWNER])
    it(`give back a record of kind ${record.kind}`, () => {
      expect(findTokenRecord(encodeTokenRecord(record, mac), mac)).to.deep.equal({
        record,
        authentic: true,
      })
    })

  it('keep the mark of a key that was adopted', () => {
    const { material } = MATERIAL
    const objects = material.objects.map((object) => ({ ...object, foreign: true as const }))
    const record = { ...MATERIAL, material: { ...material, objects } }
    const bytes = encodeTokenRecord(record, mac)
    expect(findTokenRecord(bytes, mac)?.record).to.deep.equal(record)
  })

  it('are not believed with any one bit changed', () => {
    const bytes = encodeTokenRecord(MATERIAL, mac)
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const changed = Buffer.from(bytes)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(findTokenRecord(changed, mac)?.authentic ?? false, `bit ${bit}`).to.equal(false)
    }
  })

  it('are not believed when cut, lengthened, or signed by another key', () => {
    const bytes = encodeTokenRecord(OWNER, mac)
    for (let length = 0; length < bytes.length; length += 1)
      expect(findTokenRecord(bytes.subarray(0, length), mac), `${length} bytes`).to.equal(undefined)
    expect(findTokenRecord(Buffer.concat([bytes, Buffer.alloc(1)]), mac)).to.equal(undefined)
    const otherMac = (input: Buffer) => createHmac('sha256', 'other').update(input).digest()
    expect(findTokenRecord(encodeTokenRecord(OWNER, otherMac), mac)?.authentic).to.equal(false)
  })

  it('are read, but not believed, where no record key is known', () => {
    expect(findTokenRecord(encodeTokenRecord(OWNER, mac), undefined)).to.deep.equal({
      record: OWNER,
      authentic: false,
    })
  })

  it('are no record when the form is that of another kind', () => {
    const misfits = [
      { kind: 'owner', owner: { instanceId: 'one' } },
      { kind: 'material', material: {}, origin: ORIGIN },
      { ...MATERIAL, origin: null },
      { kind: 'owner', owner: [] },
    ]
    for (const record of misfits)
      expect(findTokenRecord(encodeTokenRecord(record as TokenRecord, mac), mac)).to.equal(
        undefined,
      )
  })

  it('ask the token to sign few bytes, whatever the length of the record', () => {
    let asked = 0
    const counting = (input: Buffer) => {
      asked = input.length
      return mac(input)
    }
    const objects = Array.from({ length: 100 }, () => itemAt(MATERIAL.material.objects, 0))
    encodeTokenRecord({ ...MATERIAL, material: { ...MATERIAL.material, objects } }, counting)
    expect(asked).to.be.below(64)
  })
})
