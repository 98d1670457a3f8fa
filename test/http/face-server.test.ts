import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { connectionsOf } from '../../src/http/face-server.ts'
import { BROKEN_HTTP } from './broken-http.ts'
import { type Answer, FaceUnderTest, parseAnswer } from './face-under-test.ts'

const BODY = '{"__type":"SerializationException"}'

describe('face server', () => {
  let face: FaceUnderTest

  beforeEach(async () => {
    face = await new FaceUnderTest({ requestTimeoutMs: 300 }).start()
  })
  afterEach(() => face.stop())

  for (const [what, bytes] of BROKEN_HTTP) {
    it(`AT-H15: answers ${what} in JSON and closes`, async () => {
      const answer = await face.raw(bytes)
      expect(answer).to.include({ status: 400, text: BODY })
      expect(answer.headers.get('connection')).to.equal('close')
      parseAnswer(answer)
    })
  }

  it('RFC 9110 §5.6.7: dates the answers that it writes to a bare socket, by the face’s clock', async () => {
    face.clockOffsetMs = 86_400_000
    const answer = await face.raw('garbage\r\n\r\n')
    expect(Date.parse(answer.headers.get('date') ?? '')).to.be.closeTo(
      Date.now() + 86_400_000,
      2_000,
    )
  })

  it('AT-H05: refuses a head of more than 16 KiB in JSON', async () => {
    const answer = await face.raw(`POST / HTTP/1.1\r\nA: ${'a'.repeat(17 * 1024)}\r\n\r\n`)
    expect(answer.status).to.equal(431)
    expect(parseAnswer(answer)).to.deep.equal({ __type: 'RequestEntityTooLargeException' })
  })

  it('AT-H05: sees a header behind 2,000 others', async () => {
    const flood = 'a:\r\n'.repeat(2_500)
    const answer = await face.raw(
      `POST / HTTP/1.1\r\n${flood}Authorization: Basic x\r\nConnection: close\r\n\r\n`,
    )
    expect(answer.status).to.equal(400)
    // Seen and refused for what it is, not taken for a request without one.
    expect(parseAnswer(answer)).to.include({ __type: 'IncompleteSignatureException' })
  })

  for (const [what, bytes] of [
    ['AT-H01: a head that does not end', 'POST / HTTP/1.1\r\nHost: a\r\n'],
    [
      'AT-H02: a body that does not end',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{',
    ],
  ] as const) {
    it(`${what} is answered with 408 and closed`, async () => {
      const answer = await face.raw(bytes)
      expect(answer.status).to.equal(408)
      expect(parseAnswer(answer)).to.deep.equal({ __type: 'RequestTimeoutException' })
    })
  }

  it('AT-H04: closes on a length of 1 GiB without reading it', async () => {
    const answer = await face.raw(
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n',
    )
    expect(answer.status).to.equal(413)
    expect(parseAnswer(answer)).to.deep.equal({ __type: 'RequestEntityTooLargeException' })
  })

  for (const [what, bytes, status] of [
    ['no Host', 'POST / HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['AT-H09: HTTP/1.0', 'POST / HTTP/1.0\r\n\r\n', 400],
    ['AT-S30: CONNECT', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n', 405],
    ['AT-S30: TRACE', 'TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', 405],
    ['an expectation', 'POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n', 417],
    [
      'AT-H09: an upgrade',
      'GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade, close\r\n\r\n',
      405,
    ],
    [
      'AT-S18: an absolute target',
      'POST http://evil/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
      400,
    ],
    ['AT-S18: *', 'OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', 404],
  ] as const) {
    it(`answers ${what} with ${status} in JSON`, async () => {
      const answer: Answer = await face.raw(bytes)
      expect(answer.status).to.equal(status)
      expect(parseAnswer(answer)).to.have.property('__type')
      expect(face.requests).to.deep.equal([])
    })
  }

  for (const [limits, connections] of [
    ['Max open files            1024                 4096                 files', 448],
    ['Max open files            65536                65536                files', 32_704],
    ['Max open files            100                  100                  files', 16],
    ['Max open files            unlimited            unlimited            files', 1_073_741_760],
    ['', 448],
  ] as const) {
    it(`AT-H17: takes ${connections} connections where the process has “${limits}”`, () => {
      expect(connectionsOf(`Limit  Soft Limit\nMax cpu time  1  1  seconds\n${limits}\n`)).to.equal(
        connections,
      )
    })
  }

  it('AT-H17: by default takes no more than leaves descriptors for lanes and files', () => {
    const limits = readFileSync('/proc/self/limits', 'utf8')
    expect(face.server.maxConnections).to.equal(connectionsOf(limits))
  })

  it('answers Expect: 100-continue by going on', async () => {
    const head = 'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\n'
    const answer = await face.raw(`${head}Content-Length: 2\r\n\r\n{}`)
    expect(answer.status).to.equal(100)
    expect(answer.text).to.match(/^HTTP\/1\.1 400 /)
  })
})
