import { createHmac, randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { HmacKey } from '../../src/sigv4/hmac-key.ts'

describe('HmacKey', () => {
  it("RFC 2104 §4: gives node's own HMAC for keys and messages of many lengths", () => {
    for (let keyBytes = 0; keyBytes <= 64; keyBytes += 8) {
      const key = randomBytes(keyBytes)
      const mac = new HmacKey(key)
      for (const bytes of [0, 1, 55, 56, 63, 64, 65, 500, 5_000]) {
        const text = randomBytes(bytes).toString('latin1')
        const expected = createHmac('sha256', key).update(text, 'latin1').digest('hex')
        expect(mac.hex(text), `key of ${keyBytes}, text of ${bytes}`).to.equal(expected)
      }
    }
  })

  it('takes no key that would have to be hashed first', () => {
    expect(() => new HmacKey(Buffer.alloc(65))).to.throw(TypeError)
  })
})
