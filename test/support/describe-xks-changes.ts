import { readFileSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { connect } from 'node:tls'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { type CheckedXksLoad, startCheckedXksLoad } from './checked-xks-load.ts'
import { PATIENT } from './daemon-under-test.ts'
import { outcomeOf } from './kms-client.ts'
import { XksClient } from './xks-client.ts'
import { STORE, XksDaemonUnderTest } from './xks-daemon.ts'
import type { XksAnswer, XksEndpoint } from './xks-request.ts'

export interface XksChanges {
  readonly credentials: number
  readonly certificates: number
  readonly materials: number
}

const KEY = 'key'
const PER_SECOND = 300
const DEAD_WITHIN_MS = 1000
const LOAD_MS = 500
/** What a machine without time for us may bring about, and no change does. */
const LATE = ['DependencyTimeoutException', 'ThrottlingException']

/** Everything that may change while AWS KMS calls, so many times, under load that must not notice. */
export function describeXksChanges({ credentials, certificates, materials }: XksChanges): void {
  describe(`XKS face under ${PER_SECOND} requests a second`, () => {
    let bridge: XksDaemonUnderTest
    let load: CheckedXksLoad

    before(async function () {
      this.timeout(60_000)
      const clientCertificates = { subjectNames: ['kms', 'other'] }
      bridge = await XksDaemonUnderTest.start({
        profile: PATIENT,
        clientCertificates,
        withCrl: true,
      })
      bridge.client = await bridge.authority.issue({ names: ['kms'], purpose: 'client' })
      await bridge.createKey(KEY)
      await bridge.daemon.whole()
    })
    after(() => bridge.stop())

    beforeEach(async () => {
      const endpoint = bridge.endpoint()
      load = await startCheckedXksLoad({
        endpoint,
        keyId: KEY,
        perSecond: PER_SECOND,
        keepsOld: true,
      })
    })

    async function noticedNothing(): Promise<void> {
      await pause(LOAD_MS)
      const { sent, wrong, failures, dropped } = await load.stop()
      const late = failures.filter(({ name }) => LATE.includes(name))
      if (late.length > 0)
        console.log(`      ${late.length} of ${sent} answers late: a busy machine?`)
      const others = failures.filter(({ name }) => !LATE.includes(name))
      expect(others.map(({ message }) => message)).deep.equal([])
      expect({ wrong, dropped }).deep.equal({ wrong: 0, dropped: 0 })
      expect(sent).greaterThan((PER_SECOND * LOAD_MS) / 2000)
    }

    it(`XKS A-08: ${credentials} changes of the credential cost no request and no connection, and the old one is dead`, async function () {
      this.timeout(30_000 + credentials * 1000)
      let current = bridge.endpoint()
      for (let i = 0; i < credentials; i += 1) {
        const next = await credentialFor(bridge, STORE, current)
        await load.turnTo(next)
        await bridge.administer('xks credential remove', { accessKeyId: current.accessKeyId })
        await isDead(current)
        current = next
      }
      await load.turnTo(await bridge.addCredential())
      await bridge.administer('xks credential remove', { accessKeyId: current.accessKeyId })
      await noticedNothing()
    })

    it(`XKS A-08: ${certificates} new certificates cost no request and no connection`, async function () {
      this.timeout(30_000 + certificates * 1000)
      for (let i = 0; i < certificates; i += 1) {
        const before = await certificateOf(bridge.endpoint())
        await bridge.issueCertificate()
        await bridge.administer('reload', {})
        expect(await certificateOf(bridge.endpoint())).not.equal(before)
        expect(await outcomeOf(onNewConnection(bridge).encrypt(KEY, Buffer.from('x')))).equal('ok')
      }
      await noticedNothing()
    })

    it(`AT-H12, AT-H13: ${certificates} reloads that each take another client out cost no request and no connection`, async function () {
      this.timeout(30_000 + certificates * 1000)
      const client = await bridge.authority.issue({ names: ['other'], purpose: 'client' })
      const lists = [[client.cert], []].map((revoked) => bridge.authority.revoke({ revoked }))
      const [without = '', everybody = ''] = await Promise.all(lists)
      const agent = new Agent({ keepAlive: true, maxCachedSessions: 0 })
      const other = new XksClient({ ...bridge.endpoint(), client }, agent)
      for (let i = 0; i < certificates; i += 1) {
        expect(await other.health()).equal('ACTIVE')
        writeFileSync(bridge.crlFile, without)
        await bridge.administer('reload', {})
        expect(await other.health().catch(() => 'refused')).equal('refused')
        writeFileSync(bridge.crlFile, everybody)
        await bridge.administer('reload', {})
      }
      agent.destroy()
      await noticedNothing()
    })

    it('XKS Z-06: a reload of what is broken says so by the name of the option, and all stays', async function () {
      this.timeout(60_000)
      const { certFile } = bridge
      const shown = await certificateOf(bridge.endpoint())
      for (const { file, text, complaint } of brokenFiles(bridge)) {
        const whole = readFileSync(file)
        writeFileSync(file, text)
        const reload =
          file === certFile ? bridge.daemon.cli('reload') : bridge.administer('reload', {})
        const refusal = await reload.then(String, (error: Error) => error.message)
        writeFileSync(file, whole)
        expect(refusal).match(complaint)
        expect(await certificateOf(bridge.endpoint())).equal(shown)
      }
      await noticedNothing()
    })

    it(`${materials} rotations of the key cost no request: the new material encrypts, the old ones decrypt`, async function () {
      this.timeout(30_000 + materials * 5000)
      const xks = new XksClient(bridge.endpoint())
      const made: XksAnswer['body'][] = []
      for (let i = 0; i <= materials; i += 1) {
        if (i > 0) await bridge.administer('xks key rotate', { name: `${STORE}/${KEY}` })
        made.push(await xks.encrypt(KEY, Buffer.from(`text ${i}`)))
      }
      expect(new Set(made.map((it) => it['ciphertextMetadata'])).size).equal(materials + 1)
      for (const [i, sealed] of made.entries())
        expect(await xks.decrypt(KEY, sealed)).deep.equal(Buffer.from(`text ${i}`))
      await noticedNothing()
    })

    it('XKS X-02, XKS G-05: a disabled key is refused at once, and others are not', async () => {
      const other = 'other'
      const keyUsage = ['ENCRYPT', 'DECRYPT']
      await bridge.administer('xks key create', { name: `${STORE}/${other}`, keyUsage })
      const xks = new XksClient(bridge.endpoint())
      const sealed = await xks.encrypt(other, Buffer.from('x'))
      await bridge.administer('xks key disable', { name: `${STORE}/${other}` })
      expect(await outcomeOf(xks.encrypt(other, Buffer.from('x')))).equal('InvalidStateException')
      expect(await outcomeOf(xks.decrypt(other, sealed))).equal('InvalidStateException')
      expect(await xks.metadata(other)).include({ keyStatus: 'DISABLED' })
      await bridge.administer('xks key enable', { name: `${STORE}/${other}` })
      expect(await xks.decrypt(other, sealed)).deep.equal(Buffer.from('x'))
      await noticedNothing()
    })
  })
}

/** Another credential of the store, through the administration socket. */
export async function credentialFor(
  bridge: XksDaemonUnderTest,
  store: string,
  endpoint: XksEndpoint,
): Promise<XksEndpoint> {
  const made = await bridge.administer<{ accessKeyId: string; secretAccessKey: string }>(
    'xks credential add',
    { store },
  )
  const { accessKeyId, secretAccessKey } = made
  return { ...endpoint, accessKeyId, secretAccessKey }
}

/** Waits until nobody believes the credential, and not for long. */
export async function isDead(endpoint: XksEndpoint): Promise<void> {
  const xks = new XksClient(endpoint)
  const removed = performance.now()
  while ((await outcomeOf(xks.health())) !== 'AuthenticationFailedException')
    expect(performance.now() - removed).lessThan(DEAD_WITHIN_MS)
}

function onNewConnection(bridge: XksDaemonUnderTest): XksClient {
  return new XksClient(bridge.endpoint(), new Agent({ maxCachedSessions: 0 }))
}

function brokenFiles({ certFile, keyFile, crlFile, daemon }: XksDaemonUnderTest) {
  const { configPath } = daemon
  const config = readFileSync(configPath, 'utf8')
  const pem = readFileSync(certFile, 'utf8')
  return [
    { file: certFile, text: pem.slice(0, pem.length / 2), complaint: /xks\.tls\.certFile/ },
    { file: keyFile, text: 'no key', complaint: /xks\.tls\.keyFile/ },
    { file: crlFile, text: pem, complaint: /xks\.clientCertificates\.crlFiles/ },
    { file: configPath, text: `${config}\nxks: [`, complaint: /config\.yaml:\d+:\d+/ },
    { file: configPath, text: config.replace('/prefix', 'prefix/'), complaint: /uriPathPrefix/ },
  ]
}

/** Of the certificate that a new connection is shown. */
async function certificateOf({ host, port, ca }: XksEndpoint): Promise<string> {
  const socket = connect({ host, port, ca, servername: 'localhost' })
  try {
    return await new Promise((resolve, reject) => {
      socket.once('error', reject)
      socket.once('secureConnect', () => resolve(socket.getPeerCertificate().fingerprint256))
    })
  } finally {
    socket.destroy()
  }
}
