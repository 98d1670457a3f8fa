import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { expect } from 'chai'
import { type TlsMaterial, TlsMaterialError } from '../../src/http/tls-material.ts'
import { type IssuedCertificate, TestAuthority } from '../support/certificates.ts'
import { readAnswer, targetOf, type XksFaceUnderTest } from './xks-face-under-test.ts'
import { XksTlsUnderTest } from './xks-tls-under-test.ts'

const HEALTH = targetOf('health')
const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const
const PAST = { thisUpdate: new Date(Date.now() - 7.2e6), nextUpdate: new Date(Date.now() - 3.6e6) }

describe('clients of the XKS face whose certificates are taken back', () => {
  const faces = new XksTlsUnderTest()
  const { warnings } = faces
  let authority: TestAuthority
  let stranger: TestAuthority
  let server: IssuedCertificate
  let alice: IssuedCertificate
  let bob: IssuedCertificate

  before(async () => {
    authority = await TestAuthority.create()
    stranger = await TestAuthority.create() // of the same name
    server = await authority.issue()
    alice = await authority.issue({ names: ['alice'], purpose: 'client' })
    bob = await authority.issue({ names: ['bob'], purpose: 'client' })
  })
  afterEach(() => faces.stop())

  const material = (clients: Partial<TlsMaterial['clients']> = {}): TlsMaterial => ({
    ...server,
    clients: { ca: authority.cert, subjectNames: ['alice', 'bob'], ...clients },
  })
  const revoking = async (...revoked: readonly IssuedCertificate[]): Promise<TlsMaterial> =>
    material({ crls: [await authority.revoke({ revoked: revoked.map(({ cert }) => cert) })] })
  const visit = (face: XksFaceUnderTest, options: object) =>
    faces.visit(face, { ca: authority.cert, ...options })
  const assertRefused = (face: XksFaceUnderTest, options: object) =>
    faces.assertRefused(face, { ca: authority.cert, ...options })

  async function callAgain(face: XksFaceUnderTest, socket: TLSSocket): Promise<void> {
    socket.write(face.sign(HEALTH))
    expect((await readAnswer(socket)).status).to.equal(200)
  }

  it('XKS T-13: idle longer than handshake and request may take, a connection serves the next request', async () => {
    const times = { requestTimeoutMs: 200, stallTimeoutMs: 300, keepAliveTimeoutMs: 2_000 }
    const { face } = await faces.start(material(), { handshakeTimeoutMs: 200 }, times)
    const { socket } = await visit(face, alice)
    await pause(700)
    await callAgain(face, socket)
  })

  describe('a CRL', () => {
    for (const version of VERSIONS)
      it(`AT-H13: refuses whom it names over ${version}, and nobody else`, async () => {
        const { face } = await faces.start(await revoking(bob))
        const versions = { minVersion: version, maxVersion: version }
        expect((await visit(face, { ...alice, ...versions })).status).to.equal(200)
        face.requests.length = 0
        await assertRefused(face, { ...bob, ...versions })
        expect(warnings).to.have.lengthOf(1)
        expect(warnings[0]).to.include({ reason: 'CERT_REVOKED' })
      })

    it('AT-H13: may be DER, as CAs hand it out', async () => {
      const pem = await authority.revoke({ revoked: [bob.cert] })
      const der = Buffer.from(pem.replaceAll(/-----.*-----|\s/g, ''), 'base64')
      const { face } = await faces.start(material({ crls: [der] }))
      expect((await visit(face, alice)).status).to.equal(200)
      await assertRefused(face, bob)
    })

    it('AT-H13: refuses whoever comes from an intermediate CA that it names', async () => {
      const middle = await authority.subordinate('intermediate')
      const { cert, key } = await middle.issue({ names: ['alice'] })
      const ca = authority.cert + middle.cert
      const own = await middle.revoke()
      const sound = material({ ca, crls: [await authority.revoke(), own] })
      const { face, tls } = await faces.start(sound)
      expect((await visit(face, { cert, key })).status).to.equal(200)
      const list = await authority.revoke({ revoked: [middle.cert] })
      tls.prepare(material({ ca, crls: [list + own] }))()
      await assertRefused(face, { cert, key })
      expect((await visit(face, alice)).status).to.equal(200)
    })

    for (const version of VERSIONS)
      it(`AT-H12, AT-H13: that came with a reload holds for a session from before over ${version}`, async () => {
        const { tls, face } = await faces.start(await revoking())
        const versions = { minVersion: version, maxVersion: version }
        const { socket, session } = await visit(face, { ...bob, ...versions })
        const kept = session ?? socket.getSession()
        tls.prepare(await revoking(bob))()
        await assertRefused(face, { ...bob, ...versions, session: kept })
        tls.prepare(await revoking())()
        expect((await visit(face, { ...bob, ...versions })).status).to.equal(200)
      })

    it('AT-H13: that will not do is refused at a reload, and the old one holds', async () => {
      const { tls, face } = await faces.start(await revoking(bob))
      const bad = [
        ['x'],
        [await stranger.revoke()],
        [await authority.revoke(), await stranger.revoke()],
        [await authority.revoke(PAST)],
      ]
      for (const crls of bad) {
        expect(() => tls.prepare(material({ crls })))
          .to.throw(TlsMaterialError)
          .with.property('code', 'CLIENT_CRL')
        expect((await visit(face, alice)).status).to.equal(200)
        await assertRefused(face, bob)
      }
    })

    it('AT-H13: that is out of date at the start lets nobody in, and the log says why', async () => {
      const { face } = await faces.start(material({ crls: [await authority.revoke(PAST)] }))
      expect(String(warnings[0]?.['message'])).to.contain('until a new CRL is there')
      await assertRefused(face, alice)
      expect(warnings[1]).to.include({ reason: 'CRL_HAS_EXPIRED' })
    })
  })

  describe('a reload', () => {
    const CHANGES: readonly [string, () => TlsMaterial | Promise<TlsMaterial>][] = [
      ['takes the name off', () => material({ subjectNames: ['bob'] })],
      ['brings a CRL that names it', () => revoking(alice)],
    ]
    for (const [what, changed] of CHANGES)
      it(`AT-H12, XKS T-10: that ${what} ends the connection of a client, and no other`, async () => {
        const { tls, face } = await faces.start(material())
        const ofAlice = await visit(face, alice)
        const ofBob = await visit(face, bob)
        tls.prepare(await changed())()
        const [hadError] = (await once(ofAlice.socket.resume(), 'close')) as [boolean]
        expect(hadError, 'closed in order').to.equal(false)
        await callAgain(face, ofBob.socket)
        expect(warnings).to.have.lengthOf(1)
        expect(warnings[0]).to.deep.include({ connections: 1, subjects: ['alice'] })
      })

    it('AT-H12, XKS T-10: that takes the CA away ends its clients’ connections, and no other', async () => {
      const both = material({ ca: authority.cert + stranger.cert })
      const { tls, face } = await faces.start(both)
      const ours = await visit(face, alice)
      const theirs = await visit(face, await stranger.issue({ names: ['alice'] }))
      tls.prepare(material({ ca: stranger.cert }))()
      await once(ours.socket.resume(), 'close')
      await callAgain(face, theirs.socket)
    })

    it('leaves the connections alone of clients that sent their intermediate CA', async () => {
      const middle = await authority.subordinate('intermediate')
      const { cert, key } = await middle.issue({ names: ['alice'] })
      const { tls, face } = await faces.start(material())
      const { socket } = await visit(face, { cert: `${cert}\n${middle.cert}`, key })
      tls.prepare(material({ ca: authority.cert + stranger.cert }))()
      await callAgain(face, socket)
    })

    it('AT-H12: answers what is under way with the word to close, and serves nothing behind it', async () => {
      const { tls, face } = await faces.start(material())
      const { socket } = await visit(face, alice)
      const held = Promise.withResolvers<string>()
      face.perform = () => held.promise
      const served = face.requests.length
      socket.write(face.sign(HEALTH))
      while (face.requests.length === served) await pause(5)
      tls.prepare(material({ subjectNames: ['bob'] }))()
      socket.write(face.sign(HEALTH)) // behind the one under way
      await pause(50)
      held.resolve('{"late":true}')
      const answer = await readAnswer(socket)
      expect(answer).to.deep.include({ status: 200, text: '{"late":true}' })
      expect(answer.headers.get('connection')).to.equal('close')
      if (!socket.closed) await once(socket.resume(), 'close')
      expect(face.requests.slice(served)).to.have.lengthOf(1)
    })

    it('AT-H08: answers all that were sent in one go before it', async () => {
      const { tls, face } = await faces.start(material())
      const { socket } = await visit(face, alice)
      const held = [Promise.withResolvers<string>(), Promise.withResolvers<string>()]
      const served = face.requests.length
      face.perform = async () => (await held[face.requests.length - served - 1]?.promise) ?? '{}'
      socket.write(Buffer.concat([face.sign(HEALTH), face.sign(HEALTH)]))
      while (face.requests.length < served + 2) await pause(5)
      tls.prepare(material({ subjectNames: ['bob'] }))()
      held[1]?.resolve('{"n":2}')
      await pause(20)
      held[0]?.resolve('{"n":1}')
      let text = ''
      for await (const chunk of socket) text += String(chunk)
      expect(text.match(/"n":\d|connection: close/gi)).to.deep.equal([
        '"n":1',
        'Connection: close',
        '"n":2',
      ])
    })

    for (const [what, changed, isTaken] of [
      ['takes the client out', () => material({ ca: stranger.cert }), false],
      ['takes another one out', () => material({ subjectNames: ['alice'] }), true],
    ] as const)
      it(`AT-H12: in the middle of a handshake that ${what} ${isTaken ? 'lets it in' : 'refuses it'}`, async () => {
        const { tls, face } = await faces.start(material())
        const slow = await SlowPath.open(face.port)
        const socket = connectTls({
          ...{ port: slow.port, host: '127.0.0.1', servername: 'localhost' },
          ...{ ca: authority.cert, ...alice },
        })
        socket.on('error', () => undefined)
        try {
          await slow.helloWasSent
          tls.prepare(changed())()
          slow.goOn()
          await once(socket, 'secureConnect')
          socket.write(face.sign(HEALTH))
          const { status } = await readAnswer(socket).catch(() => ({ status: Number.NaN }))
          expect(status).to.deep.equal(isTaken ? 200 : Number.NaN)
        } finally {
          socket.destroy()
          await slow.close()
        }
      })

    it('50 times, each taking a client out or back in, drops no request of the others', async () => {
      const { tls, face } = await faces.start(material())
      const without = await revoking(bob)
      const all = await revoking()
      let done = false
      let calls = 0
      const caller = async (): Promise<void> => {
        const { socket } = await visit(face, alice)
        while (!done) {
          await callAgain(face, socket)
          expect((await visit(face, alice)).status).to.equal(200)
          calls += 2
        }
      }
      const callers = [caller(), caller(), caller()]
      for (let i = 0; i < 25; i++) {
        tls.prepare(all)()
        const { socket } = await visit(face, bob)
        tls.prepare(without)()
        await once(socket.resume(), 'close')
      }
      done = true
      await Promise.all(callers)
      expect(calls).to.be.greaterThan(50)
    })
  })
})

/** Carries bytes both ways, but holds back what a client sends after its first word. */
class SlowPath {
  readonly helloWasSent: Promise<void>
  readonly goOn: () => void
  readonly #server: Server
  readonly #sockets: Socket[] = []

  private constructor(target: number) {
    const hello = Promise.withResolvers<void>()
    const rest = Promise.withResolvers<void>()
    this.helloWasSent = hello.promise
    this.goOn = rest.resolve
    this.#server = createServer((near) => {
      const far = connect(target, '127.0.0.1')
      this.#sockets.push(near, far)
      for (const socket of [near, far]) socket.on('error', () => undefined)
      far.pipe(near)
      far.once('data', () => hello.resolve()) // the server has judged nothing yet
      near.once('data', (chunk) => {
        near.pause()
        far.write(chunk)
        void rest.promise.then(() => near.pipe(far))
      })
    })
  }

  static async open(target: number): Promise<SlowPath> {
    const path = new SlowPath(target)
    path.#server.listen(0, '127.0.0.1')
    await once(path.#server, 'listening')
    return path
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
