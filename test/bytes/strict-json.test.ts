import { expect } from 'chai'
import { parseStrictJson } from '../../src/bytes/strict-json.ts'

const parse = (text: string): unknown => parseStrictJson(Buffer.from(text))

describe('parseStrictJson', () => {
  for (const text of [
    '{}',
    '[]',
    '{"a":1,"b":{"a":2}}',
    '[{"a":1},{"a":2}]',
    '{"a:b":"c:d","e\\"":"\\\\"}',
    '{"":{"":""}}',
    '{"{[":"]}"}',
    ' {"é" : "\\u00e9"} ',
    '{"__proto__":{"a":1},"constructor":2}',
  ]) {
    it(`reads ${text} as JSON.parse does`, () => {
      expect(JSON.stringify(parse(text))).to.equal(JSON.stringify(JSON.parse(text)))
    })
  }

  for (const [what, text] of [
    ['AT-J01: a member twice', '{"a":1,"a":1}'],
    ['AT-J01: a member twice, once escaped', '{"a":1,"\\u0061":2}'],
    ['AT-J01: a member twice, further in', '{"x":[{"m":{"a":"1","b":"2","a":"3"}}]}'],
    ['AT-J06: trailing bytes', '{} {}'],
    ['AT-J06: a comment', '{/* */}'],
    ['AT-J06: NaN', '{"a":NaN}'],
    ['an open string', '{"a'],
    ['an open string behind a backslash', '{"a\\"'],
    ['nothing', ''],
  ] as const) {
    it(`refuses ${what}`, () => expect(parse(text)).to.equal(undefined))
  }

  for (const [what, bytes] of [
    ['a byte order mark', Buffer.from('\ufeff{}')],
    ['UTF-16', Buffer.from('{}', 'utf16le')],
    ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0xc3, 0x28, 0x22, 0x3a, 0x31, 0x7d])],
    ['a surrogate written as bytes', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    ['a bare NUL', Buffer.from('{"a":"\0"}')],
  ] as const) {
    it(`AT-J05: refuses ${what}`, () => expect(parseStrictJson(bytes)).to.equal(undefined))
  }

  it('AT-J03: accepts 32 levels and refuses 33', () => {
    expect(parse('['.repeat(32) + ']'.repeat(32))).to.be.an('array')
    expect(parse('['.repeat(33) + ']'.repeat(33))).to.equal(undefined)
  })

  it('AT-J03: refuses a million brackets before the parser sees them', () => {
    const bomb = Buffer.from('{"a":'.repeat(170_000))
    const begin = performance.now()
    expect(parseStrictJson(bomb)).to.equal(undefined)
    expect(performance.now() - begin).to.be.below(50)
  })

  it('AT-J08: reads 100,000 elements', () => {
    expect(parse(`[${'1,'.repeat(99_999)}1]`)).to.have.lengthOf(100_000)
  })
})
