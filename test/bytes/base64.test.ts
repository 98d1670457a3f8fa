import { expect } from 'chai'
import fc from 'fast-check'
import { parseBase64 } from '../../src/bytes/base64.ts'

describe('parseBase64', () => {
  it('reads back what Buffer writes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const text = Buffer.from(bytes).toString('base64')
        expect(parseBase64(text)).to.deep.equal(Buffer.from(bytes))
      }),
    )
  })

  it('reads no text as no bytes', () => expect(parseBase64('')).to.deep.equal(Buffer.alloc(0)))

  // RFC 4648 §4: Buffer.from forgives every one of these.
  const REFUSED = [
    ['missing padding', 'YQ'],
    ['too much padding', 'YQ==='],
    ['padding alone', '===='],
    ['padding in the middle', 'YQ==YQ=='],
    ['white space', 'YWFh\n'],
    ['white space inside', 'YW Fh'],
    ['the alphabet of URLs', '__-_'],
    ['unused bits that are not zero', 'YR=='],
    ['a character outside the alphabet', 'YW*h'],
    ['a NUL', 'YWF\0'],
    ['a letter beyond ASCII', 'YWFé'],
  ] as const
  for (const [what, text] of REFUSED) {
    it(`refuses ${what} (RFC 4648 §4)`, () => expect(parseBase64(text)).to.equal(undefined))
  }
})
