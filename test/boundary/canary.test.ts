import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { Canary } from './canary.ts'

describe('a canary', () => {
  const secret = randomBytes(33)
  const canary = new Canary('secret', secret)
  const around = (shift: number) => Buffer.concat([randomBytes(shift), secret, randomBytes(20)])

  for (const shift of [0, 1, 2, 3])
    it(`is found in Base64 that begins ${shift} bytes before it, and in base64url`, () => {
      expect(canary.isIn(Buffer.from(`"${around(shift).toString('base64')}"`))).to.equal(true)
      expect(canary.isIn(Buffer.from(around(shift).toString('base64url')))).to.equal(true)
    })

  it('is found raw, in hex, as a list of numbers and in UTF-16', () => {
    const text = new Canary('text', 'a text of more than sixteen letters')
    expect(canary.isIn(around(7))).to.equal(true)
    expect(canary.isIn(Buffer.from(around(7).toString('hex')))).to.equal(true)
    expect(canary.isIn(Buffer.from(JSON.stringify([...secret])))).to.equal(true)
    expect(text.isIn(Buffer.from('say a text of more than sixteen letters', 'utf16le'))).to.equal(
      true,
    )
  })

  it('is not found where it is not', () => {
    expect(canary.isIn(Buffer.from(randomBytes(4096).toString('base64')))).to.equal(false)
    expect(canary.isIn(around(0).subarray(1, 33))).to.equal(false)
  })
})
