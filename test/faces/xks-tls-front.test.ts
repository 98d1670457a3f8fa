import { connect } from 'node:tls'
import { expect } from 'chai'
import { Sensitive } from '../../src/bytes/sensitive.ts'
import {
  type ConformanceTarget,
  EXAMPLE_CALLER,
} from '../../src/xks/conformance/conformance-target.ts'
import { runConformance } from '../../src/xks/conformance/run-conformance.ts'
import { FakeKms } from '../support/fake-kms.ts'
import { TLS_FRONTS, TlsFront, type TlsFrontProgram } from './tls-front.ts'
import { HEALTH_CALL, signedXksWire } from '../support/xks-request.ts'
import { describeProgram, startDaemonEndpoint, type XksEndpoint } from './xks-endpoint.ts'

/** kmsRequestId of the inner requests. */
const SMUGGLED = 'smuggled'

/** What a front and a proxy may count differently. `inner` would be a request of its own for whoever counts wrongly. */
const AMBIGUITIES: readonly (readonly [
  what: string,
  headers: (length: number) => string,
  body: (inner: string) => string,
])[] = [
  [
    'a length before chunks',
    (n) => `Content-Length: ${n}\r\nTransfer-Encoding: chunked\r\n`,
    ended,
  ],
  [
    'a length behind chunks',
    (n) => `Transfer-Encoding: chunked\r\nContent-Length: ${n}\r\n`,
    ended,
  ],
  [
    'a short length beside chunks',
    () => 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n',
    chunk,
  ],
  ['an unknown coding', (n) => `Transfer-Encoding: xchunked\r\nContent-Length: ${n}\r\n`, ended],
  [
    'a coding behind chunked',
    (n) => `Transfer-Encoding: chunked, identity\r\nContent-Length: ${n}\r\n`,
    ended,
  ],
  [
    'two codings',
    (n) => `Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\nContent-Length: ${n}\r\n`,
    ended,
  ],
  [
    'a space before the colon',
    (n) => `Transfer-Encoding : chunked\r\nContent-Length: ${n}\r\n`,
    ended,
  ],
  ['a folded header', (n) => `Transfer-Encoding:\r\n chunked\r\nContent-Length: ${n}\r\n`, ended],
  ['a vertical tab', (n) => `Transfer-Encoding: \x0bchunked\r\nContent-Length: ${n}\r\n`, ended],
  [
    'a bare line feed',
    (n) => `X: y\nTransfer-Encoding: chunked\r\nContent-Length: ${n}\r\n`,
    ended,
  ],
  ['a NUL', (n) => `X: \0\r\nTransfer-Encoding: chunked\r\nContent-Length: ${n}\r\n`, ended],
  ['two lengths', (n) => `Content-Length: 0\r\nContent-Length: ${n}\r\n`, plain],
  ['two lengths, the other way', (n) => `Content-Length: ${n}\r\nContent-Length: 0\r\n`, plain],
  ['a list of lengths', (n) => `Content-Length: 0, ${n}\r\n`, plain],
  ['a length with a sign', (n) => `Content-Length: +${n}\r\n`, plain],
  ['a length in hex', (n) => `Content-Length: 0x${n.toString(16)}\r\n`, plain],
  [
    'a chunk extension with a line feed',
    () => 'Transfer-Encoding: chunked\r\n',
    (inner) => `2;\nxx\r\n${ended(inner)}`,
  ],
  [
    'a chunk size in hex notation',
    () => 'Transfer-Encoding: chunked\r\n',
    (inner) => `0x0\r\n\r\n${inner}`,
  ],
  [
    'a chunk size that overflows',
    () => 'Transfer-Encoding: chunked\r\n',
    (inner) => `10000000000000000\r\n\r\n${inner}`,
  ],
  [
    'a trailer that is a length',
    () => 'Transfer-Encoding: chunked\r\n',
    (inner) => `0\r\nContent-Length: 4\r\n\r\n${inner}`.slice(0, 27),
  ],
]

describe('the XKS face of a daemon behind a front that ends TLS', () => {
  let endpoint: XksEndpoint

  before(async () => {
    endpoint = await startDaemonEndpoint({ tls: false })
  })
  after(() => endpoint?.stop())

  for (const front of TLS_FRONTS)
    describeProgram(front.program, front.name, () => suite(front, () => endpoint))
})

function suite(program: TlsFrontProgram, endpointOf: () => XksEndpoint) {
  let endpoint: XksEndpoint
  let front: TlsFront

  before(async () => {
    endpoint = endpointOf()
    front = await TlsFront.start(program, endpoint.url)
  })
  after(() => front?.stop())

  it('AT-H07: a request that is served is seen: the same one, alone', async () => {
    const seenBefore = smuggledArrivals()
    expect(await statuses(front, smuggledRequest())).to.deep.equal([200])
    expect(smuggledArrivals()).to.equal(seenBefore + 1)
  })

  it('conforms through the front too', async function () {
    this.timeout(60_000)
    const report = await runConformance(conformanceTarget())
    const failed = report.results
      .filter(({ outcome, level }) => outcome === 'fail' && level !== 'ours')
      .filter(({ id }) => !program.spoils.includes(id))
    expect(failed).to.deep.equal([])
    expect(report.passed).to.be.greaterThan(130)
  })

  it('serves AWS KMS over many connections', async () => {
    const kms = await FakeKms.createCustomKeyStore({
      uriEndpoint: front.url,
      uriPath: `${endpoint.uriPathPrefix}/kms/xks/v1`,
      credential: endpoint.credential,
      region: endpoint.region,
      tls: { ca: front.ca },
    })
    expect(await kms.connect()).to.equal('CONNECTED')
    const key = await kms.createKey(endpoint.keyId)
    const rounds = Array.from({ length: 20 }, async (_, index) => {
      const plaintext = Buffer.from(`secret ${index}`)
      expect(await kms.decrypt(await kms.encrypt(key, plaintext))).to.deep.equal(plaintext)
    })
    await Promise.all(rounds)
    kms.close()
  })

  for (const [what, headers, body] of AMBIGUITIES)
    it(`AT-H07: agrees with the front about where a request ends: ${what}`, async () => {
      const { host } = front.url
      const path = `${endpoint.uriPathPrefix}/kms/xks/v1/health`
      const content = body(smuggledRequest())
      const head = `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\n`
      const wire = `${head}${headers(content.length)}\r\n${content}`
      const seenBefore = smuggledArrivals()
      const [first = 0, ...more] = await statuses(front, wire)
      expect(first === 0 || first >= 400, `the first answer is ${first}`).to.equal(true)
      await assertUndisturbed()
      // A front that takes what follows for a second request of the same client answers it: no harm. Smuggled is what the
      // proxy saw and the front did not.
      expect(smuggledArrivals() - seenBefore).to.be.at.most(more.length)
    })

  it('keeps Host and path as they were signed', async () => {
    const report = await runConformance(conformanceTarget(), { only: ['U-01', 'A-11', 'A-12'] })
    expect(report.conforms).to.equal(true)
  })

  /** Requests of others, over the connections that the front shares, get their own answers. */
  async function assertUndisturbed(): Promise<void> {
    const { results } = await runConformance(conformanceTarget(), {
      only: ['G-01', 'D-11', 'H-06'],
    })
    expect(results.filter(({ outcome }) => outcome !== 'pass')).to.deep.equal([])
  }

  /** An authentic request, so that whoever takes it for one serves it and writes it down. */
  function smuggledRequest(): string {
    const { hostname, port } = front.url
    const { credential, region, uriPathPrefix } = endpoint
    const signed = { host: hostname, port: Number(port), region, uriPathPrefix, ca: undefined }
    const requestMetadata = { kmsOperation: 'KmsHealthCheck', kmsRequestId: SMUGGLED }
    const call = { ...HEALTH_CALL, body: { requestMetadata } }
    return signedXksWire({ ...signed, ...credential }, call).toString('latin1')
  }

  function smuggledArrivals(): number {
    return endpoint.arrived().filter((kmsRequestId) => kmsRequestId === SMUGGLED).length
  }

  function conformanceTarget(): ConformanceTarget {
    const { accessKeyId, secretAccessKey } = endpoint.credential
    return {
      url: front.url,
      uriPathPrefix: endpoint.uriPathPrefix,
      region: endpoint.region,
      credential: { accessKeyId, secretAccessKey: new Sensitive(secretAccessKey) },
      keyId: endpoint.keyId,
      tls: { ca: front.ca },
      latestMs: 2_000, // machines of tests are noisy
      idleMs: 500,
      ...EXAMPLE_CALLER,
    }
  }
}

/** Ends in the view of whoever counts chunks; goes on for whoever counts bytes. */
function ended(inner: string): string {
  return `0\r\n\r\n${inner}`
}

/** One chunk, of which whoever counts four bytes sees only the size. */
function chunk(inner: string): string {
  return `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`
}

function plain(inner: string): string {
  return inner
}

/** Sends bytes over a connection of its own, and returns the status of each answer until it closes or falls silent. */
function statuses({ url, ca }: TlsFront, wire: string): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: url.hostname,
      port: Number(url.port),
      servername: 'localhost',
      ca,
    })
    let text = ''
    const finish = () => {
      socket.destroy()
      resolve([...text.matchAll(/HTTP\/1\.[01] (\d{3}) /g)].map(([, status]) => Number(status)))
    }
    socket.setTimeout(400, finish)
    socket.on('data', (piece: Buffer) => {
      text += piece.toString('latin1')
    })
    socket.on('close', finish)
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error)
    })
    socket.write(Buffer.from(wire, 'latin1'))
  })
}
