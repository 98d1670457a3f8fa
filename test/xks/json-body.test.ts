import { expect } from 'chai'
import { parseBody } from '../../src/xks/json-body.ts'
import { XksError } from '../../src/xks/xks-error.ts'

const TYPE = 'application/json'

function refused(
  body: string | Buffer,
  contentType: string | undefined = TYPE,
  contentEncoding?: string,
): void {
  try {
    parseBody({ body: Buffer.from(body as string), contentType, contentEncoding })
  } catch (error) {
    expect(error).to.be.instanceOf(XksError)
    expect(error).to.include({ errorName: 'ValidationException', status: 400 })
    return
  }
  expect.fail('was accepted')
}

const parse = (contentType: string, contentEncoding?: string) =>
  parseBody({ body: Buffer.from('{"a":1}'), contentType, contentEncoding })

describe('parseBody', () => {
  for (const type of [
    TYPE,
    'application/json; charset=utf-8',
    'application/json;charset=UTF-8',
    'Application/JSON; charset="utf-8"',
    'application/json;',
  ])
    it(`XKS T-01: takes Content-Type ${type}`, () => expect(parse(type)).to.deep.equal({ a: 1 }))

  for (const type of [
    '',
    'repeated',
    'text/plain',
    'application/jsonp',
    'application/json, text/plain',
    'application/json, application/json',
    'application/json; charset=utf-16',
    'application/json; charset=utf-8; x=y',
    'application/x-www-form-urlencoded',
    'application/x-amz-json-1.1',
  ])
    it(`XKS T-01: refuses Content-Type "${type}"`, () => refused('{}', type))

  it('XKS T-01: refuses a body without Content-Type', () => {
    expect(() =>
      parseBody({ body: Buffer.from('{}'), contentType: undefined, contentEncoding: undefined }),
    ).to.throw(XksError)
  })

  for (const encoding of ['identity', 'Identity'])
    it(`takes Content-Encoding ${encoding}`, () =>
      expect(parse(TYPE, encoding)).to.deep.equal({ a: 1 }))
  for (const encoding of ['gzip', 'br', 'repeated', 'identity, gzip', ''])
    it(`AT-H06: refuses Content-Encoding "${encoding}"`, () => refused('{}', TYPE, encoding))

  for (const [what, body] of [
    ['nothing', ''],
    ['AT-J01: a member twice', '{"plaintext":"AA==","plaintext":"AQ=="}'],
    ['AT-J01: a member twice, once escaped', '{"plaintext":"AA==","pl\\u0061intext":"AQ=="}'],
    ['AT-J01: a member twice in the metadata', '{"requestMetadata":{"a":1,"a":1}}'],
    ['AT-J03: 33 levels', `${'{"a":'.repeat(33)}1${'}'.repeat(33)}`],
    ['AT-J04: no number', '{"a":1e}'],
    ['AT-J05: a byte order mark', '\ufeff{}'],
    ['AT-J05: UTF-16', Buffer.from('{}', 'utf16le')],
    ['AT-J05: invalid UTF-8', Buffer.from([0x7b, 0x22, 0xc3, 0x28, 0x22, 0x3a, 0x31, 0x7d])],
    ['AT-J05: a bare NUL', '{"a":"\0"}'],
    ['AT-J06: trailing bytes', '{} {}'],
    ['AT-J06: a comment', '{/* */}'],
    ['AT-J06: NaN', '{"a":NaN}'],
    ['a list', '[]'],
    ['null', 'null'],
    ['text', '"{}"'],
    ['a number', '1'],
  ] as const)
    it(`refuses ${what}`, () => refused(body))

  it('AT-J08: takes 100,000 elements of a member that it does not know', () =>
    expect(
      parseBody({
        body: Buffer.from(`{"a":[${'1,'.repeat(99_999)}1]}`),
        contentType: TYPE,
        contentEncoding: undefined,
      }),
    ).to.have.property('a'))
})
