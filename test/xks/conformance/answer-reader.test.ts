import { expect } from 'chai'
import { AnswerReader } from '../../../src/xks/conformance/answer-reader.ts'
import { NoAnswer } from '../../../src/xks/conformance/nonconformity.ts'

describe('answer reader', () => {
  for (const [what, wire, body] of [
    ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}', '{}'],
    ['no body', 'HTTP/1.1 204 No Content\r\n\r\n', ''],
    [
      'chunks',
      'HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n',
      '{}',
    ],
    [
      'what goes before',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx',
      'x',
    ],
  ] as const)
    it(`reads an answer with ${what}, however it is cut`, () => {
      for (const size of [1, 7, wire.length]) {
        const reader = new AnswerReader(false)
        let whole: ReturnType<AnswerReader['add']>
        for (let at = 0; at < wire.length && whole === undefined; at += size)
          whole = reader.add(Buffer.from(wire.slice(at, at + size)))
        expect(whole?.body.toString()).to.equal(body)
        expect(whole?.keepsAlive).to.equal(true)
      }
    })

  it('reads an answer that ends with its connection', () => {
    const reader = new AnswerReader(false)
    expect(reader.add(Buffer.from('HTTP/1.0 400 Bad\r\n\r\nab'))).to.equal(undefined)
    expect(reader.end()).to.deep.include({
      status: 400,
      keepsAlive: false,
      body: Buffer.from('ab'),
    })
  })

  it('expects no body behind HEAD', () => {
    const reader = new AnswerReader(true)
    const whole = reader.add(Buffer.from('HTTP/1.1 405 No\r\nContent-Length: 20\r\n\r\n'))
    expect(whole?.body).to.have.length(0)
  })

  it('keeps every value of a header, under its name in lower case', () => {
    const reader = new AnswerReader(false)
    const wire =
      'HTTP/1.1 200 OK\r\nA: 1\r\na:  2 \r\nConnection: close\r\nContent-Length: 0\r\n\r\n'
    const whole = reader.add(Buffer.from(wire))
    expect(whole?.headers.get('a')).to.deep.equal(['1', '2'])
    expect(whole?.keepsAlive).to.equal(false)
  })

  it('has no answer of half of one, or of what is not HTTP', () => {
    const half = new AnswerReader(false)
    half.add(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}'))
    expect(half.end()).to.equal(undefined)
    expect(() => new AnswerReader(false).add(Buffer.from('SSH-2.0\r\n\r\n'))).to.throw(NoAnswer)
  })
})
