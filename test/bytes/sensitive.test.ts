import { inspect } from 'node:util'
import { expect } from 'chai'
import { Sensitive } from '../../src/bytes/sensitive.ts'

describe('Sensitive', () => {
  const secret = new Sensitive('correct horse')

  it('gives its value to those who ask for it', () => {
    expect(secret.reveal()).to.equal('correct horse')
  })

  const SHOWN: [string, () => string][] = [
    ['a text', () => String(secret)],
    ['JSON', () => JSON.stringify({ secret, list: [secret] })],
    ['console.log', () => inspect({ secret }, { showHidden: true, depth: 9 })],
    [
      'its members',
      () => JSON.stringify([Object.entries(secret), Object.getOwnPropertyNames(secret)]),
    ],
  ]
  for (const [where, show] of SHOWN) {
    it(`does not show it in ${where} (AT-K07)`, () => expect(show()).not.to.contain('horse'))
  }
})
