import { expect } from 'chai'
import fc from 'fast-check'
import { FieldReader, fields } from '../../src/bytes/fields.ts'

describe('fields', () => {
  it('puts a big-endian length before each part', () => {
    const bytes = fields().sized(1, 'a').sized(2, Buffer.from('bc')).sized(4, '').bytes()
    expect(bytes.toString('hex')).to.equal('0161' + '00026263' + '00000000')
  })

  it('writes numbers big-endian', () => {
    const bytes = fields()
      .number(1, 255)
      .number(2, 258)
      .number(4, 2 ** 32 - 1)
      .bytes()
    expect(bytes.toString('hex')).to.equal('ff' + '0102' + 'ffffffff')
  })

  it('counts bytes, not characters', () => {
    expect(fields().sized(1, 'é').bytes().toString('hex')).to.equal('02c3a9')
  })

  it('does not let a byte move between two parts', () => {
    const pair = (a: string, b: string) => fields().sized(2, a).sized(2, b).bytes().toString('hex')
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), fc.string(), (a, b, c, d) => {
        expect(pair(a, b) === pair(c, d)).to.equal(a === c && b === d)
      }),
    )
    expect(pair('ab', 'c')).not.to.equal(pair('a', 'bc'))
  })

  it('refuses a part that is longer than its length can say', () => {
    expect(() => fields().sized(1, Buffer.alloc(256))).to.throw(RangeError)
    expect(() => fields().sized(2, Buffer.alloc(65_536))).to.throw(RangeError)
  })

  it('refuses a number that does not fit', () => {
    expect(() => fields().number(1, 256)).to.throw(RangeError)
    expect(() => fields().number(4, -1)).to.throw(RangeError)
  })
})

describe('FieldReader', () => {
  it('reads back what fields wrote', () => {
    const reader = new FieldReader(fields().number(4, 7).sized(1, 'a').sized(4, 'bc').bytes())
    expect(reader.number(4)).to.equal(7)
    expect(reader.sized(1).toString()).to.equal('a')
    expect(reader.done).to.equal(false)
    expect(reader.sized(4).toString()).to.equal('bc')
    expect(reader.done).to.equal(true)
  })

  it('refuses at every length that ends too early', () => {
    const whole = fields().number(2, 1).sized(2, 'abc').bytes()
    for (let length = 0; length < whole.length; length++) {
      const reader = new FieldReader(whole.subarray(0, length))
      expect(() => [reader.number(2), reader.sized(2)]).to.throw(RangeError)
    }
  })
})
