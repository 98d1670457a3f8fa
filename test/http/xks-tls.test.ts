import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectPlain } from 'node:net'
import { text as readText } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import type { ConnectionOptions } from 'node:tls'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { type TlsMaterial, TlsMaterialError } from '../../src/http/tls-material.ts'
import { kmsSubjectName, XksTls } from '../../src/http/xks-tls.ts'
import {
  type IssuedCertificate,
  type IssueOptions,
  selfSignedCertificate,
  TestAuthority,
} from '../support/certificates.ts'
import { readAnswer, targetOf, type XksFaceUnderTest } from './xks-face-under-test.ts'
import { XksTlsUnderTest } from './xks-tls-under-test.ts'

const execute = promisify(execFile)
const KMS_NAME = kmsSubjectName('eu-west-1')
const SUITES = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
] as const

/** What offers this suite and nothing else. */
function offer(suite: (typeof SUITES)[number]) {
  const version = suite.startsWith('TLS_') ? 'TLSv1.3' : 'TLSv1.2'
  return { ciphers: suite, minVersion: version, maxVersion: version } as const
}

describe('TLS of the XKS face', () => {
  let authority: TestAuthority
  let stranger: TestAuthority
  let ec: IssuedCertificate
  let rsa: IssuedCertificate
  let client: IssuedCertificate
  let rsaClient: IssuedCertificate
  const faces = new XksTlsUnderTest()
  const { warnings } = faces

  before(async () => {
    authority = await TestAuthority.create()
    stranger = await TestAuthority.create() // of the same name
    ec = await authority.issue()
    rsa = await authority.issue({ keyType: 'RSA' })
    client = await authority.issue({ names: [KMS_NAME], purpose: 'client' })
    rsaClient = await authority.issue({ names: [KMS_NAME], purpose: 'client', keyType: 'RSA' })
  })
  afterEach(() => faces.stop())

  const mutual = (
    subjectNames: readonly string[] = [KMS_NAME],
    ca = authority.cert,
  ): TlsMaterial => ({
    ...ec,
    clients: { ca, subjectNames },
  })

  const start = (material: TlsMaterial, options: { handshakeTimeoutMs?: number } = {}) =>
    faces.start(material, options)
  const visit = (face: XksFaceUnderTest, options: ConnectionOptions = {}) =>
    faces.visit(face, { ca: authority.cert, ...options })
  const assertRefused = (face: XksFaceUnderTest, options: ConnectionOptions) =>
    faces.assertRefused(face, { ca: authority.cert, ...options })

  describe('suites', () => {
    const OFFERS = [
      ['TLS_AES_256_GCM_SHA384', 'EC'],
      ['TLS_AES_256_GCM_SHA384', 'RSA'],
      ['TLS_CHACHA20_POLY1305_SHA256', 'EC'],
      ['TLS_CHACHA20_POLY1305_SHA256', 'RSA'],
      ['ECDHE-ECDSA-AES256-GCM-SHA384', 'EC'],
      ['ECDHE-RSA-AES256-GCM-SHA384', 'RSA'],
    ] as const
    for (const [suite, keyType] of OFFERS) {
      for (const asks of [false, true])
        it(`XKS T-03: ${suite} with an ${keyType} key${asks ? ', and a client certificate, EC or RSA' : ''}`, async () => {
          const { face } = await start({ ...(asks && mutual()), ...(keyType === 'EC' ? ec : rsa) })
          for (const own of asks ? [client, rsaClient] : [{}]) {
            const seen = await visit(face, { ...own, ...offer(suite) })
            expect(seen).to.include({ status: 200, protocol: offer(suite).minVersion })
            expect(seen.suite.replace('_WITH', '')).to.contain(
              suite.startsWith('TLS_')
                ? suite
                : suite.replaceAll('-', '_').replace('AES256', 'AES_256'),
            )
          }
          if (asks) await assertRefused(face, offer(suite))
        })
    }

    it('XKS T-03: of TLS 1.2 the suite of the other kind of key finds no handshake', async () => {
      for (const [material, suite] of [
        [ec, 'ECDHE-RSA-AES256-GCM-SHA384'],
        [rsa, 'ECDHE-ECDSA-AES256-GCM-SHA384'],
      ] as const)
        for (const own of [{}, client]) {
          const { face } = await start({ ...mutual(), ...material })
          await assertRefused(face, { ...own, ...offer(suite) })
        }
    })

    it('AT-H10: RC4, NULL, export, 3DES, CBC, DHE and AES-128, which this OpenSSL may not even know', async () => {
      const { face } = await start(rsa)
      const weak = [1, 2, 3, 4, 5, 6, 8, 0xa, 0x14, 0x2f, 0x33, 0x35, 0x39, 0x3c, 0x3d, 0x67, 0x6b]
      const more = [0x9c, 0x9d, 0x9e, 0x9f, 0xc011, 0xc012, 0xc013, 0xc014, 0xc027, 0xc028, 0xc02f]
      expect(await answerToHello(face.port, [...weak, ...more])).to.include({
        alert: 'handshake_failure',
      })
    })

    it('AT-H10: takes no compression from whoever offers it', async () => {
      const { face } = await start(rsa)
      const ecdheRsa = 0xc030
      expect(await answerToHello(face.port, [ecdheRsa], [1, 0])).to.deep.equal({
        suite: ecdheRsa,
        compression: 0,
      })
    })

    it('XKS T-03: no other suite of this OpenSSL', async () => {
      const { getCiphers } = await import('node:tls')
      const others = getCiphers().filter(
        (name) => !SUITES.some((suite) => suite.toLowerCase() === name),
      )
      expect(others.length).to.be.greaterThan(20)
      const { face } = await start(rsa)
      for (const name of others) {
        const three = name.startsWith('tls_')
        const ciphers = three ? name.toUpperCase() : `${name.toUpperCase()}:@SECLEVEL=0`
        const version = three ? 'TLSv1.3' : 'TLSv1.2'
        await assertRefused(face, { ciphers, minVersion: version, maxVersion: version })
      }
    })

    for (const version of ['TLSv1', 'TLSv1.1'] as const) {
      it(`AT-H10: no ${version}`, async () => {
        const { face } = await start(rsa)
        await assertRefused(face, {
          minVersion: version,
          maxVersion: version,
          ciphers: 'ALL:@SECLEVEL=0',
        })
      })
    }

    it('AT-H10: signatures with SHA-1 alone find no handshake', async () => {
      const { face } = await start(rsa)
      const sigalgs = 'RSA+SHA1:ECDSA+SHA1'
      const ciphers = `${SUITES[2]}:@SECLEVEL=0`
      await assertRefused(face, { sigalgs, ciphers, maxVersion: 'TLSv1.2' })
    })

    it('AT-H10: a client cannot negotiate anew', async () => {
      const { face } = await start(ec)
      const { socket } = await visit(face, { maxVersion: 'TLSv1.2' })
      const error = await new Promise<Error | null>((resolve) => {
        socket.on('error', resolve)
        socket.on('close', () => resolve(new Error('closed')))
        if (socket.renegotiate({}, resolve) === false) resolve(new Error('refused'))
      })
      expect(error).to.be.instanceOf(Error)
    })
  })

  describe('protocols', () => {
    for (const [what, ALPNProtocols, agreed] of [
      ['only http/1.1', ['http/1.1'], 'http/1.1'],
      ['h2 in front of http/1.1', ['h2', 'http/1.1'], 'http/1.1'],
      ['none', undefined, false],
    ] as const) {
      it(`XKS T-02: speaks HTTP/1.1 with a client that offers ${what}`, async () => {
        const { face } = await start(ec)
        const offer = ALPNProtocols ? [...ALPNProtocols] : undefined
        const seen = await visit(face, { ALPNProtocols: offer as string[] })
        expect(seen).to.include({ status: 200, alpn: agreed })
      })
    }

    it('XKS T-02: and with none that speaks h2 alone', async () => {
      const { face } = await start(ec)
      await assertRefused(face, { ALPNProtocols: ['h2'] })
    })

    it('XKS T-04: refuses plain HTTP on its port without a word', async () => {
      const { face } = await start(ec)
      const socket = connectPlain(face.port, '127.0.0.1')
      socket.write(face.sign(targetOf('health')))
      expect(await readText(socket)).not.to.contain('HTTP')
      expect(face.requests).to.deep.equal([])
    })

    it('AT-H14: half a handshake and garbage are gone in time, and delay nobody', async () => {
      const { face } = await start(ec, { handshakeTimeoutMs: 300 })
      const sockets = Array.from({ length: 200 }, (_, i) => {
        const socket = connectPlain(face.port, '127.0.0.1')
          .on('error', () => undefined)
          .resume()
        if (i % 2) socket.write('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'latin1')
        return socket
      })
      const closed = sockets.map((socket) => once(socket, 'close'))
      expect((await visit(face)).status).to.equal(200)
      await Promise.all(closed)
      const connections = await new Promise<number>((resolve) =>
        face.server.getConnections((_error, count) => resolve(count)),
      )
      expect(connections).to.equal(1)
    })

    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      it(`AT-H11, AT-H12: resumes no session of ${version}, so that there is no early data`, async () => {
        const { face } = await start(ec)
        const versions = { minVersion: version, maxVersion: version }
        const { socket, session } = await visit(face, versions)
        const kept = session ?? socket.getSession()
        expect((await visit(face, { ...versions, session: kept })).reused).to.equal(false)
      })
    }

    it('AT-H11: offers no early data', async () => {
      const { face } = await start(ec)
      const args = ['s_client', '-tls1_3', '-ign_eof', '-connect', `127.0.0.1:${face.port}`]
      const seen = execute('openssl', args)
      seen.child.stdin?.end('GET / HTTP/1.1\r\n\r\n')
      const { stdout } = await seen
      expect(stdout).to.contain('Post-Handshake New Session Ticket arrived')
      expect(stdout).to.match(/Max Early Data: 0$/m)
      expect(stdout).not.to.match(/Max Early Data: [^0]/)
    })
  })

  describe('keys', () => {
    it('takes PKCS #8, SEC 1 and PKCS #1', async () => {
      for (const { cert, key, traditionalKey } of [ec, rsa])
        for (const form of [key, traditionalKey]) {
          const { face } = await start({ cert, key: form })
          expect((await visit(face)).status).to.equal(200)
        }
    })

    const BAD: readonly [string, () => TlsMaterial, string][] = [
      ['a certificate that is none', () => ({ ...ec, cert: 'x' }), 'CERTIFICATE'],
      ['a key that is none', () => ({ ...ec, key: 'x' }), 'KEY'],
      ['a key of another certificate', () => ({ cert: ec.cert, key: rsa.key }), 'KEY'],
      ['no CA', () => mutual([KMS_NAME], ''), 'CLIENT_CA'],
      ['a CA that is none', () => mutual([KMS_NAME], brokenPem), 'CLIENT_CA'],
      ['no subject names', () => mutual([]), 'SUBJECT_NAMES'],
      ['an empty subject name', () => mutual(['']), 'SUBJECT_NAMES'],
    ]
    const brokenPem = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
    for (const [what, material, code] of BAD) {
      it(`refuses ${what} and names the part`, () => {
        expect(() => new XksTls(material()))
          .to.throw(TlsMaterialError)
          .with.property('code', code)
      })
    }
  })

  describe('client certificates', () => {
    const CLIENTS: readonly [string, IssueOptions, boolean][] = [
      ['AWS KMS', { names: [KMS_NAME], purpose: 'client' }, true],
      ['both purposes', { names: [KMS_NAME], purpose: 'both' }, true],
      ['an RSA key', { names: [KMS_NAME], keyType: 'RSA' }, true],
      ['no stated purpose', { names: [KMS_NAME], purpose: 'any' }, true],
      ['the purpose of a server', { names: [KMS_NAME], purpose: 'server' }, false],
      ['another name', { names: ['cks.kms.eu-west-2.amazonaws.com'] }, false],
      ['a name that begins so', { names: [`${KMS_NAME}.evil.com`] }, false],
      ['a name in other case', { names: [KMS_NAME.toUpperCase()] }, false],
      ['AT-H13: a name with NUL behind it', { names: [`${KMS_NAME}\0.evil.com`] }, false],
      ['AT-H13: the name in SAN alone', { names: ['x'], dnsNames: [KMS_NAME] }, false],
      ['AT-H13: two names', { names: [KMS_NAME, 'x'] }, false],
      ['AT-H13: the right name behind another', { names: ['x', KMS_NAME] }, false],
      ['no name', { names: [] }, false],
      [
        'an expired certificate',
        { names: [KMS_NAME], notAfter: new Date(Date.now() - 1000) },
        false,
      ],
      ['one of tomorrow', { names: [KMS_NAME], notBefore: new Date(Date.now() + 3.6e6) }, false],
    ]
    for (const [what, options, isTaken] of CLIENTS) {
      it(`XKS T-10: ${isTaken ? 'takes' : 'refuses'} ${what}`, async () => {
        const { face } = await start(mutual())
        const { cert, key } = await authority.issue(options)
        for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
          const own = { cert, key, minVersion: version, maxVersion: version }
          if (isTaken) expect((await visit(face, own)).status, version).to.equal(200)
          else await assertRefused(face, own)
        }
      })
    }

    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      it(`XKS T-10: refuses no certificate over ${maxVersion}`, async () => {
        const { face } = await start(mutual())
        await assertRefused(face, { maxVersion })
      })

      it(`XKS T-10: refuses the right name in a certificate that signed itself over ${maxVersion}`, async () => {
        const { face } = await start(mutual())
        const { cert, key } = await selfSignedCertificate(KMS_NAME)
        await assertRefused(face, { cert, key, maxVersion })
        expect(warnings[0]).to.include({ reason: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
      })

      it(`XKS T-10: refuses the right name of another CA over ${maxVersion}`, async () => {
        const { face } = await start(mutual())
        const { cert, key } = await stranger.issue({ names: [KMS_NAME] })
        await assertRefused(face, { cert, key, maxVersion })
      })

      it(`XKS T-10: refuses another name over ${maxVersion} and tells the operator which`, async () => {
        const { face } = await start(mutual())
        const { cert, key } = await authority.issue({ names: ['somebody'] })
        await assertRefused(face, { cert, key, maxVersion })
        expect(warnings).to.have.lengthOf(1)
        expect(warnings[0]).to.include({
          message: 'client certificate refused',
          subject: 'somebody',
        })
      })
    }

    it('AT-H13: takes a certificate with its intermediate and refuses it without', async () => {
      const { face } = await start(mutual())
      const intermediate = await authority.subordinate('an intermediate CA')
      const { cert, key } = await intermediate.issue({ names: [KMS_NAME], purpose: 'client' })
      await assertRefused(face, { cert, key })
      expect((await visit(face, { cert: cert + '\n' + intermediate.cert, key })).status).to.equal(
        200,
      )
    })

    it('XKS T-09: takes every name and every CA that is configured', async () => {
      const names = [KMS_NAME, kmsSubjectName('us-east-1')]
      const { face } = await start(mutual(names, authority.cert + stranger.cert))
      for (const issuer of [authority, stranger])
        for (const name of names) {
          const { cert, key } = await issuer.issue({ names: [name] })
          expect((await visit(face, { cert, key })).status).to.equal(200)
        }
    })

    it('XKS T-11: the name of AWS KMS is that of its Region', () => {
      expect(kmsSubjectName('ap-southeast-2')).to.equal('cks.kms.ap-southeast-2.amazonaws.com')
    })

    it('XKS T-08: asks for none unless it is told to', async () => {
      const { face } = await start(ec)
      expect((await visit(face)).status).to.equal(200)
    })
  })

  describe('reload', () => {
    it('shows the new certificate to new connections and leaves the old ones alone', async () => {
      const { tls, face } = await start(ec)
      const before = await visit(face)
      tls.prepare(rsa)()
      const after = await visit(face)
      expect(after.fingerprint).not.to.equal(before.fingerprint)
      before.socket.write(face.sign(targetOf('health')))
      expect((await readAnswer(before.socket)).status).to.equal(200)
    })

    it('keeps the suites, the protocols and the clients’ rule', async () => {
      const { tls, face } = await start(mutual())
      tls.prepare({ ...mutual(), ...rsa })()
      const { cert, key } = client
      expect((await visit(face, { cert, key })).status).to.equal(200)
      face.requests.length = 0
      await assertRefused(face, {})
      const weaker = { ciphers: 'ECDHE-RSA-AES128-GCM-SHA256', maxVersion: 'TLSv1.2' } as const
      await assertRefused(face, { ...client, ...weaker })
      await assertRefused(face, { ...client, ALPNProtocols: ['h2'] })
    })

    it('keeps everything when the new material is bad', async () => {
      const { tls, face } = await start(mutual())
      const before = await visit(face, client)
      for (const bad of [
        { ...mutual(), key: rsa.key },
        mutual([KMS_NAME], 'no CA'),
        mutual([]),
        ec, // without the rule: that takes a restart
      ]) {
        expect(() => tls.prepare(bad)).to.throw(TlsMaterialError)
        expect((await visit(face, client)).fingerprint).to.equal(before.fingerprint)
      }
    })

    for (const [what, next] of [
      ['of the former CA', () => mutual([KMS_NAME], stranger.cert)],
      ['of a former name', () => mutual(['other'])],
    ] as const)
      it(`AT-H12: a client ${what} is refused, also with a session from before`, async () => {
        for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
          const { tls, face } = await start(mutual())
          const versions = { minVersion: version, maxVersion: version }
          const { socket, session } = await visit(face, { ...client, ...versions })
          const kept = session ?? socket.getSession()
          tls.prepare(next())()
          await assertRefused(face, { ...client, ...versions, session: kept })
          const [authorityNow, names] =
            what === 'of the former CA' ? [stranger, [KMS_NAME]] : [authority, ['other']]
          const other = await authorityNow.issue({ names })
          expect((await visit(face, { ...other, ...versions })).status).to.equal(200)
        }
      })

    it('XKS T-09: a name that was taken off is refused, and a new one taken', async () => {
      const { tls, face } = await start(mutual())
      tls.prepare(mutual(['other']))()
      await assertRefused(face, client)
      const other = await authority.issue({ names: ['other'] })
      expect((await visit(face, other)).status).to.equal(200)
    })

    it('50 reloads under requests drop none', async () => {
      const { tls, face } = await start(ec)
      let done = false
      let calls = 0
      const caller = async (): Promise<void> => {
        const { socket } = await visit(face)
        while (!done) {
          socket.write(face.sign(targetOf('health')))
          expect((await readAnswer(socket)).status).to.equal(200)
          expect((await visit(face)).status).to.equal(200)
          calls += 2
        }
      }
      const callers = [caller(), caller(), caller()]
      for (let i = 0; i < 50; i++) {
        tls.prepare(i % 2 ? ec : rsa)()
        await pause(5)
      }
      done = true
      await Promise.all(callers)
      expect(calls).to.be.greaterThan(20)
    })
  })
})

/** What a server says to a ClientHello of TLS 1.2 that is written by hand: it offers what no OpenSSL of today offers. */
async function answerToHello(port: number, suites: readonly number[], compressions = [0]) {
  const socket = connectPlain(port, '127.0.0.1').on('error', () => undefined)
  socket.write(clientHello(suites, compressions))
  const [record] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  if (record[0] === ALERT) return { alert: ALERTS.get(record[6] ?? 0) }
  const sessionIdBytes = record[43] ?? 0 // behind record, handshake, version and random
  const at = 44 + sessionIdBytes
  return { suite: record.readUInt16BE(at), compression: record[at + 2] }
}

const ALERT = 21
const ALERTS = new Map([
  [40, 'handshake_failure'],
  [50, 'decode_error'],
  [70, 'protocol_version'],
])

function clientHello(suites: readonly number[], compressions: readonly number[]): Buffer {
  const groups = extension(10, sized(2, Buffer.from([0, 23, 0, 24]))) // P-256 and P-384
  const formats = extension(11, sized(1, Buffer.from([0])))
  const signatures = extension(13, sized(2, Buffer.from([4, 1, 4, 3, 8, 4]))) // of SHA-256
  const hello = Buffer.concat([
    Buffer.from([3, 3]), // TLS 1.2
    Buffer.alloc(32, 7),
    sized(1, Buffer.alloc(0)),
    sized(2, Buffer.from(suites.flatMap((suite) => [suite >> 8, suite & 0xff]))),
    sized(1, Buffer.from(compressions)),
    sized(2, Buffer.concat([groups, formats, signatures])),
  ])
  const handshake = Buffer.concat([Buffer.from([1]), sized(3, hello)])
  return Buffer.concat([Buffer.from([22, 3, 1]), sized(2, handshake)])
}

function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0, type]), sized(2, content)])
}

function sized(lengthBytes: number, content: Buffer): Buffer {
  const length = Buffer.alloc(lengthBytes)
  length.writeUIntBE(content.length, 0, lengthBytes)
  return Buffer.concat([length, content])
}
