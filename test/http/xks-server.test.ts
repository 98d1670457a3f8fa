import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { text as readText } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { BROKEN_HTTP } from './broken-http.ts'
import { errorNameOf, readAnswer, targetOf, XksFaceUnderTest } from './xks-face-under-test.ts'

describe('XKS server', () => {
  let face: XksFaceUnderTest

  beforeEach(async () => {
    face = await new XksFaceUnderTest(
      {},
      { requestTimeoutMs: 300, keepAliveTimeoutMs: 2_000, stallTimeoutMs: 1_200 },
    ).start()
  })
  afterEach(() => face.stop())

  for (const [what, bytes] of [
    ...BROKEN_HTTP,
    ['AT-S18: a byte beyond ASCII in the target', 'POST /\xe4/kms/xks/v1/health HTTP/1.1\r\n\r\n'],
  ] as const) {
    it(`XKS X-14, AT-H15: answers ${what} as the specification wants it, and closes`, async () => {
      const known = bytes.replace('POST / ', `POST ${targetOf('health')} `)
      const answer = await face.rawToEnd(Buffer.from(known, 'latin1'))
      expect(answer.status).to.equal(400)
      expect(errorNameOf(answer)).to.equal('ValidationException')
      expect(answer.headers.get('connection')).to.equal('close')
    })
  }

  const HEALTH = targetOf('health')
  for (const [what, head, status, name] of [
    ['no host', `POST ${HEALTH} HTTP/1.1`, 401, 'AuthenticationFailedException'],
    ['AT-H09: HTTP/1.0', `POST ${HEALTH} HTTP/1.0`, 401, 'AuthenticationFailedException'],
    ['AT-H09: HTTP/0.9', 'GET /', 404, 'InvalidUriPathException'],
    ['AT-S30: CONNECT', 'CONNECT a:1 HTTP/1.1\r\nHost: a', 405, 'ValidationException'],
    [
      'AT-H09: an expectation',
      `POST ${HEALTH} HTTP/1.1\r\nHost: a\r\nExpect: 200-ok`,
      417,
      'ValidationException',
    ],
    ['AT-H09: HTTP/1.2', `POST ${HEALTH} HTTP/1.2\r\nHost: a`, 400, 'ValidationException'],
    [
      'AT-H09: an upgrade to h2c',
      `GET ${HEALTH} HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade`,
      405,
      'ValidationException',
    ],
    [
      'AT-H09: an upgrade to a web socket',
      `GET ${HEALTH} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade`,
      405,
      'ValidationException',
    ],
    [
      'AT-H05: a head over 16 KiB',
      `POST ${HEALTH} HTTP/1.1\r\nA: ${'a'.repeat(17 * 1024)}`,
      431,
      'ValidationException',
    ],
    [
      'AT-S19: a signature of 20,000 digits',
      `POST ${HEALTH} HTTP/1.1\r\nAuthorization: AWS4-HMAC-SHA256 Signature=${'0'.repeat(20_000)}`,
      431,
      'ValidationException',
    ],
    [
      'XKS U-03: a target over 16 KiB',
      `POST /${'a'.repeat(17 * 1024)} HTTP/1.1`,
      431,
      'ValidationException',
    ],
    [
      'AT-H05: a signature behind 2,000 headers',
      `POST ${HEALTH} HTTP/1.1\r\n${'a:\r\n'.repeat(2_500)}Authorization: x`,
      401,
      'AuthenticationFailedException',
    ],
  ] as const) {
    it(`XKS X-14: answers ${what} with ${status} ${name}`, async () => {
      const answer = await face.raw(`${head}\r\n\r\n`)
      expect(answer.status).to.equal(status)
      expect(errorNameOf(answer)).to.equal(name)
      expect(answer.headers.get('allow')).to.equal(status === 405 ? 'POST' : null)
      expect(face.requests).to.deep.equal([])
    })
  }

  it('AT-H09: goes on when a client expects 100-continue', async () => {
    const asked = (head: string) => head.replace('\r\n', '\r\nExpect: 100-continue\r\n')
    const answer = await face.raw(face.sign(HEALTH, {}, asked))
    expect(answer.status).to.equal(100)
    expect(face.requests).to.have.lengthOf(1)
  })

  it('AT-H07: reads chunks with extensions and trailers as the body that they are', async () => {
    const chunked = (head: string) =>
      head.replace(/Content-Length: .*/, 'Transfer-Encoding: chunked\r\nConnection: close')
    const head = face
      .sign(HEALTH, {}, chunked)
      .toString('latin1')
      .replace(/\{\}$/, '1;a=b\r\n{\r\n1\r\n}\r\n0\r\nX-Amz-Date: other\r\n\r\n')
    expect((await face.rawToEnd(head)).status).to.equal(200)
    expect(face.requests[0]?.body.toString()).to.equal('{}')
  })

  for (const [what, rest] of [
    ['AT-H01: a head that does not end', 'X-A: b\r\n'],
    ['AT-H02: a body that does not end', 'Content-Length: 9\r\n\r\n{'],
  ] as const) {
    it(`${what} is answered with 408 and closed`, async () => {
      const answer = await face.rawToEnd(`POST ${HEALTH} HTTP/1.1\r\nHost: a\r\n${rest}`)
      expect(answer.status).to.equal(408)
      expect(errorNameOf(answer)).to.equal('ValidationException')
    })
  }

  it('AT-H01: 200 slow clients delay nobody', async () => {
    const slow = Array.from({ length: 200 }, () => connect(face.port, '127.0.0.1'))
    for (const socket of slow) socket.on('error', () => undefined)
    await Promise.all(slow.map((socket) => once(socket, 'connect')))
    for (const socket of slow) socket.write(`POST ${HEALTH} HTTP/1.1\r\nHost: a\r\n`)
    const startedAt = performance.now()
    for (let i = 0; i < 20; i++) expect((await face.call(HEALTH)).status).to.equal(200)
    expect((performance.now() - startedAt) / 20).to.be.lessThan(250)
    await Promise.all(
      slow.map(async (socket) => {
        if (!socket.resume().destroyed) await once(socket, 'close')
      }),
    )
  })

  it('AT-H17: who comes on top of the most connections is disconnected, and nobody else', async () => {
    const small = await new XksFaceUnderTest({}, { maxConnections: 2 }).start()
    const open = () => connect(small.port, '127.0.0.1')
    const kept = [open(), open()]
    try {
      for (const socket of kept) {
        socket.write(small.sign(HEALTH))
        expect((await readAnswer(socket)).status).to.equal(200)
      }
      expect(await readText(open()), 'not even a 408').to.equal('')
      for (const socket of kept) {
        socket.write(small.sign(HEALTH))
        expect((await readAnswer(socket)).status).to.equal(200)
      }
    } finally {
      for (const socket of kept) socket.destroy()
      await small.stop()
    }
  })

  const unsigned = `POST ${HEALTH} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`
  const REFUSED = [
    ['an unknown path', () => unsigned.replace(HEALTH, '/nowhere'), 404],
    ['another method', () => unsigned.replace('POST', 'PUT'), 405],
    ['no signature', () => unsigned, 401],
    ['a wrong signature', () => face.sign(HEALTH, { secret: 'wrong' }), 401],
    ['nobody’s id', () => face.sign(HEALTH, { accessKeyId: 'AKIDNOBODYNOBODYNOBODY' }), 401],
  ] as const
  for (const [what, bytes, status] of REFUSED) {
    it(`AT-H17: closes the connection of a stranger after ${what}`, async () => {
      const answer = await face.rawToEnd(bytes())
      expect(answer.status).to.equal(status)
      expect(answer.headers.get('connection')).to.equal('close')
    })

    it(`XKS A-08, XKS T-13: keeps the connection of a client that it knows after ${what}`, async () => {
      const socket = connect(face.port, '127.0.0.1')
      for (const [sent, expected] of [
        [face.sign(HEALTH), 200],
        [bytes(), status],
        [face.sign(HEALTH), 200],
      ] as const) {
        socket.write(sent)
        expect((await readAnswer(socket)).status).to.equal(expected)
      }
      socket.destroy()
    })
  }

  it('AT-H17: a stranger who is still sending when he is refused hears it, and is not reset', async () => {
    const head = unsigned.replace(HEALTH, '/nowhere').replace('Length: 0', 'Length: 900000')
    const socket = connect(face.port, '127.0.0.1')
    socket.write(head)
    expect((await readAnswer(socket)).status).to.equal(404)
    for (let i = 0; i < 9; i++) socket.write('x'.repeat(100_000))
    const [hadError] = await once(socket.resume(), 'close')
    expect(hadError).to.equal(false)
  })

  it('AT-H03: a client that reads no answer loses its connection', async () => {
    face.perform = async () => `{"plaintext":"${'x'.repeat(64 * 1024)}"}`
    const socket = connect(face.port, '127.0.0.1')
    socket.on('error', () => undefined)
    const [accepted] = (await once(face.server, 'connection')) as [Socket]
    socket.pause()
    const request = face.sign(targetOf('decrypt'))
    socket.write(Buffer.concat(Array.from({ length: 1_000 }, () => request)))
    await once(accepted, 'close')
    expect(accepted.bytesWritten).to.be.lessThan(64 * 1024 * 1000)
    socket.destroy()
  })

  it('AT-H08: answers 1,000 pipelined requests in order', async () => {
    face.perform = async ({ body }) => body.toString()
    const requests = Array.from({ length: 1_000 }, (_, i) =>
      face.sign(HEALTH, { body: Buffer.from(`{"n":${i}}`) }),
    )
    const socket = connect(face.port, '127.0.0.1')
    let text = ''
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk
    })
    socket.write(Buffer.concat(requests))
    while (!text.endsWith('{"n":999}')) await once(socket, 'data')
    const order = [...text.matchAll(/\{"n":(\d+)\}/g)].map(([, n]) => Number(n))
    expect(order).to.deep.equal(Array.from({ length: 1_000 }, (_, i) => i))
    socket.destroy()
  })

  it('XKS T-13: a connection that was idle longer than any request may take serves the next one', async () => {
    const socket = connect(face.port, '127.0.0.1')
    for (const idleMs of [0, 400, 1_500]) {
      await pause(idleMs)
      socket.write(face.sign(HEALTH))
      expect((await readAnswer(socket)).status).to.equal(200)
    }
    socket.destroy()
  }).timeout(10_000)

  it('XKS T-13: outlives by default what a network load balancer remembers', async () => {
    const usual = new XksFaceUnderTest()
    expect(usual.server.keepAliveTimeout).to.be.greaterThan(350_000)
  })
})
