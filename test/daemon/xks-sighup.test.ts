import { expect } from 'chai'
import { readFileSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { connect } from 'node:tls'
import { parse, stringify } from 'yaml'
import type { IssuedCertificate } from '../support/certificates.ts'
import { eventually } from '../support/daemon-under-test.ts'
import { callXks, STORE, XksDaemonUnderTest } from '../support/xks-daemon.ts'
import { HEALTH_CALL } from '../support/xks-request.ts'

const READ = '"configuration read again"'
const KEPT = '"the configuration stays as it was"'
const PATIENCE_MS = 5_000

describe('SIGHUP to a daemon with an XKS face', function () {
  this.timeout(60_000)
  let bridge: XksDaemonUnderTest
  let alice: Agent
  let bob: Agent

  before(async () => {
    bridge = await XksDaemonUnderTest.start({
      clientCertificates: { subjectNames: ['alice', 'bob'] },
      withCrl: true,
    })
    alice = agentOf(await bridge.authority.issue({ names: ['alice'], purpose: 'client' }))
  })
  after(async () => {
    alice?.destroy()
    bob?.destroy()
    await bridge?.stop()
  })

  const agentOf = ({ cert, key }: IssuedCertificate) =>
    new Agent({ cert, key, keepAlive: true, maxSockets: 1, maxCachedSessions: 0 })
  const call = async (agent: Agent) => (await callXks(bridge.endpoint(), HEALTH_CALL, agent)).status
  const occurrences = (text: string) => bridge.daemon.log().split(text).length - 1

  /** Sends the signal and waits for what the log says of it. */
  async function signal(text: string): Promise<string> {
    const before = occurrences(text)
    process.kill(bridge.daemon.pid, 'SIGHUP')
    await eventually(
      () => occurrences(text) > before,
      () => `no ${text} in the log:\n${bridge.daemon.log()}`,
      PATIENCE_MS,
    )
    return (
      bridge.daemon
        .log()
        .split('\n')
        .findLast((line) => line.includes(text)) ?? ''
    )
  }

  function configure(change: (config: { xks: { stores: object[] } }) => void): void {
    const { configPath } = bridge.daemon
    const config = parse(readFileSync(configPath, 'utf8')) as { xks: { stores: object[] } }
    change(config)
    writeFileSync(configPath, stringify(config))
  }

  it('XKS A-08, XKS Z-06: reads certificate, stores and CRL again; nobody else’s connection notices', async () => {
    const revoked = await bridge.authority.issue({ names: ['bob'], purpose: 'client' })
    bob = agentOf(revoked)
    expect([await call(alice), await call(bob)]).deep.equal([200, 200])
    const [shown, connection] = [await certificateShown(bridge), socketOf(alice)]
    expect(connection, 'kept for the next call').not.equal(undefined)
    await bridge.issueCertificate()
    writeFileSync(bridge.crlFile, await bridge.authority.revoke({ revoked: [revoked.cert] }))
    configure(({ xks }) => xks.stores.push({ name: 'second', uriPathPrefix: '/second' }))
    expect(await signal(READ)).include('"made":["second"]')
    expect(await certificateShown(bridge)).not.equal(shown)
    expect(await call(alice)).equal(200)
    expect(socketOf(alice)).equal(connection)
    const refused = await call(bob).catch((error: NodeJS.ErrnoException) => error.message)
    expect(refused, 'on its open connection or a new one').a('string')
    const stores = await bridge.administer<{ name: string }[]>('xks store list', {})
    expect(stores.map(({ name }) => name)).deep.equal(['second', STORE])
  })

  it('XKS A-08: a credential made and one removed hold without any signal, and through it', async () => {
    const former = bridge.endpoint()
    const added = await bridge.addCredential()
    await bridge.administer('xks credential remove', { accessKeyId: former.accessKeyId })
    await signal(READ)
    const answers = [added, former].map((endpoint) => callXks(endpoint, HEALTH_CALL, alice))
    expect((await Promise.all(answers)).map(({ status }) => status)).deep.equal([200, 401])
  })

  it('XKS Z-06: of something bad keeps the old, says which option, file or line, and goes on', async () => {
    const { pid, configPath } = bridge.daemon
    const shown = await certificateShown(bridge)
    const whole = readFileSync(configPath, 'utf8')
    const bad: readonly [string, string, RegExp][] = [
      [configPath, `${whole}\nxks: [`, /config\.yaml:\d+:\d+/],
      [configPath, whole.replace('/second', 'second/'), /uriPathPrefix/],
      [bridge.certFile, 'no PEM', /xks\.tls\.certFile/],
      [bridge.keyFile, 'no PEM', /xks\.tls\.keyFile/],
      [bridge.crlFile, 'no CRL', /xks\.clientCertificates\.crlFiles/],
    ]
    for (const [file, text, why] of bad) {
      const good = readFileSync(file)
      writeFileSync(file, text)
      expect(await signal(KEPT)).match(why)
      writeFileSync(file, good)
      expect(await certificateShown(bridge)).equal(shown)
      expect(await call(alice)).equal(200)
    }
    await bridge.issueCertificate()
    await signal(READ)
    expect(await certificateShown(bridge)).not.equal(shown)
    expect(bridge.daemon.pid).equal(pid)
  })
})

/** The one connection of an agent that is idle. */
function socketOf({ freeSockets }: Agent): unknown {
  return Object.values(freeSockets).flat()[0]
}

/** Fingerprint of what a new connection is shown, before the client is asked for anything. */
async function certificateShown(bridge: XksDaemonUnderTest): Promise<string> {
  const { host, port, ca } = bridge.endpoint()
  const socket = connect({ host, port, ca, servername: 'localhost' })
  socket.on('error', () => undefined)
  try {
    return await new Promise((resolve) =>
      socket.once('secureConnect', () => resolve(socket.getPeerCertificate().fingerprint256)),
    )
  } finally {
    socket.destroy()
  }
}
