import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { expect } from 'chai'
import {
  accessKeyIdOf,
  isWhole,
  MemoryXksDirectory,
  targetOf,
  XksFaceUnderTest,
} from '../http/xks-face-under-test.ts'
import { compareTimes, type TimeComparison } from '../support/compare-times.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { XksClient } from '../support/xks-client.ts'
import { XksDaemonUnderTest } from '../support/xks-daemon.ts'
import { decryptCall, signedXksWire, type XksAnswer } from '../support/xks-request.ts'

const PAIRS = Number(process.env['TIMING_PAIRS'] ?? 100_000)
/** A ciphertext that does not open costs several calls of the token. */
const DECRYPT_PAIRS = Number(process.env['TIMING_DECRYPT_PAIRS'] ?? 40_000)
const RESIGN_AFTER_MS = 120_000
const BEYOND_CHANCE = 4.5
const LEAK_MICROSECONDS = 5

/** Knows a credential faster than that it knows none, as code would that gave up early. */
class LeakyDirectory extends MemoryXksDirectory {
  override findCredential(accessKeyId: string) {
    const found = super.findCredential(accessKeyId)
    if (!found) spin(LEAK_MICROSECONDS)
    return found
  }
}

describe(`${PAIRS} pairs of refused signatures at the XKS face, on one connection each`, function () {
  this.timeout(60_000 + PAIRS * 10)
  const random = new SeededRandom()
  let face: XksFaceUnderTest

  afterEach(() => face.stop())

  const target = targetOf('encrypt')
  const known = () => face.sign(target, { secret: 'wrong'.padEnd(43, '0') })
  const unknown = () => face.sign(target, { accessKeyId: 'A'.repeat(accessKeyIdOf('a').length) })
  const wrongAt = (at: number) => () =>
    face.sign(target, {}, (head) =>
      head.replace(/Signature=([0-9a-f]{64})/, (_, right: string) => {
        const other = right[at] === '0' ? '1' : '0'
        return `Signature=${right.slice(0, at)}${other}${right.slice(at + 1)}`
      }),
    )

  async function compare(
    what: string,
    a: () => Buffer,
    b: () => Buffer,
    directory = new MemoryXksDirectory(),
  ): Promise<TimeComparison> {
    face = await new XksFaceUnderTest({ directory }).start()
    const socket = connect({ port: face.port, host: '127.0.0.1', noDelay: true })
    const line = await KnownConnection.open(socket, face.sign(target), 401)
    const [bytesOfA, bytesOfB] = [a(), b()]
    const forget = () => {
      for (const kept of [face.logged, face.observed]) kept.length = 0
    }
    const result = await compareTimes({
      a: () => line.refuse(bytesOfA).then(forget),
      b: () => line.refuse(bytesOfB).then(forget),
      pairs: PAIRS,
      random,
    })
    line.close()
    tell(what, result)
    return result
  }

  it('finds no difference where there is none', async () => {
    const { t } = await compare('the same', known, known)
    expect(Math.abs(t)).below(BEYOND_CHANCE)
  })

  it(`finds a leak of ${LEAK_MICROSECONDS} µs`, async () => {
    const { t } = await compare('planted', known, unknown, new LeakyDirectory())
    expect(t).above(BEYOND_CHANCE)
  })

  it(`XKS A-16, AT-S27: an access key that nobody has and a known one differ by less than ${LEAK_MICROSECONDS} µs`, async () => {
    assertNoSuchLeak(await compare('unknown against known', known, unknown))
  })

  it(`XKS A-16, AT-S27: the first digit of a signature wrong and the last differ by less than ${LEAK_MICROSECONDS} µs`, async () => {
    assertNoSuchLeak(await compare('last against first', wrongAt(0), wrongAt(63)))
  })
})

describe(`${DECRYPT_PAIRS} pairs of ciphertexts that do not open, at a daemon`, function () {
  this.timeout(120_000 + DECRYPT_PAIRS * 50)
  const random = new SeededRandom()
  let bridge: XksDaemonUnderTest
  let sealed: XksAnswer['body']
  let line: KnownConnection

  before(async () => {
    bridge = await XksDaemonUnderTest.start()
    await bridge.createKey('key')
    await bridge.daemon.whole()
    const { host, port, ca } = bridge.endpoint()
    sealed = await new XksClient(bridge.endpoint()).encrypt('key', Buffer.alloc(64))
    const socket = connectTls({ host, port, ca, servername: 'localhost' }).setNoDelay()
    line = await KnownConnection.open(socket, signed(sealed), 400)
  })
  after(async () => {
    line?.close()
    await bridge.stop()
  })

  const signed = (body: XksAnswer['body'], aad = Buffer.from('aad')) =>
    signedXksWire(bridge.endpoint(), decryptCall('key', body, aad))
  const spoilt = (member: string, at: number) => () => {
    const bytes = Buffer.from(String(sealed[member]), 'base64')
    bytes[at] = (bytes[at] ?? 0) ^ 1
    return signed({ ...sealed, [member]: bytes.toString('base64') })
  }
  const firstOfTag = spoilt('authenticationTag', 0)
  const compare = async (what: string, sign: () => Buffer, delayMicroseconds = 0) => {
    const [a, b] = [resigned(firstOfTag), resigned(sign)]
    const result = await compareTimes({
      a: () => line.refuse(a()),
      b: () => {
        spin(delayMicroseconds)
        return line.refuse(b())
      },
      pairs: DECRYPT_PAIRS,
      random,
    })
    tell(what, result)
    return result
  }

  it('finds no difference where there is none', async () => {
    const { t } = await compare('the same', firstOfTag)
    expect(Math.abs(t)).below(BEYOND_CHANCE)
  })

  it(`finds ${LEAK_MICROSECONDS} µs more, which the client waits`, async () => {
    const { t } = await compare('planted', firstOfTag, LEAK_MICROSECONDS)
    expect(t).above(BEYOND_CHANCE)
  })

  const others = {
    'the end of the tag': spoilt('authenticationTag', 15),
    'the ciphertext': spoilt('ciphertext', 0),
    'the IV': spoilt('initializationVector', 0),
    'the AAD': () => signed(sealed, Buffer.from('aae')),
  }
  for (const [what, sign] of Object.entries(others))
    it(`AT-C16: one bit of ${what} and one of the tag differ by less than ${LEAK_MICROSECONDS} µs`, async () => {
      assertNoSuchLeak(await compare(what, sign))
    })
})

/** A signature is good for five minutes. */
function resigned(sign: () => Buffer): () => Buffer {
  let [bytes, at] = [sign(), performance.now()]
  return () => {
    if (performance.now() - at > RESIGN_AFTER_MS) [bytes, at] = [sign(), performance.now()]
    return bytes
  }
}

/** What stays below is told, not judged: it says less than the counts of test/http/xks-refusal-cost.test.ts. */
function assertNoSuchLeak({ differenceMicroseconds }: TimeComparison): void {
  expect(Math.abs(differenceMicroseconds)).below(LEAK_MICROSECONDS)
}

function tell(what: string, it: TimeComparison): void {
  const [difference, error] = [it.differenceMicroseconds, it.standardErrorMicroseconds]
  console.log(
    `      ${what}: ${difference.toFixed(2)} ± ${error.toFixed(2)} µs of ${it.meanMicroseconds.toFixed(0)}, t = ${it.t.toFixed(1)}`,
  )
}

/** A connection that has carried a good request, so that the face keeps it through refusals. */
class KnownConnection {
  readonly #socket: Socket
  #received = ''
  #answered: ((text: string) => void) | undefined

  readonly #refusal: string

  private constructor(socket: Socket, refusedWith: number) {
    this.#socket = socket
    this.#refusal = `HTTP/1.1 ${refusedWith} `
    socket.on('data', (chunk) => {
      this.#received += chunk.toString('latin1')
      if (!isWhole(this.#received)) return
      const text = this.#received
      this.#received = ''
      this.#answered?.(text)
    })
  }

  static async open(socket: Socket, good: Buffer, refusedWith: number): Promise<KnownConnection> {
    const line = new KnownConnection(socket, refusedWith)
    expect(await line.#ask(good)).match(/^HTTP\/1\.1 200 /)
    return line
  }

  async refuse(bytes: Buffer): Promise<void> {
    const answer = await this.#ask(bytes)
    if (!answer.startsWith(this.#refusal)) throw new Error(answer)
  }

  close(): void {
    this.#socket.destroy()
  }

  #ask(bytes: Buffer): Promise<string> {
    return new Promise((resolve) => {
      this.#answered = resolve
      this.#socket.write(bytes)
    })
  }
}

function spin(microseconds: number): void {
  const until = process.hrtime.bigint() + BigInt(microseconds * 1000)
  while (process.hrtime.bigint() < until);
}
