import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { expect } from 'chai'
import { readAnswer } from '../http/xks-face-under-test.ts'
import { type IssueOptions, TestAuthority } from '../support/certificates.ts'
import { FakeKms } from '../support/fake-kms.ts'
import { KmsException } from '../support/fake-kms-exception.ts'
import { PREFIX, XksDaemonUnderTest } from '../support/xks-daemon.ts'
import { HEALTH_CALL, signedXksWire } from '../support/xks-request.ts'

const DAY_MS = 86_400_000
const OF_KMS = 'cks.kms.eu-west-1.amazonaws.com'

describe('the transport of the XKS face', () => {
  const directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-xks-'))
  let xks: XksDaemonUnderTest

  afterEach(() => xks?.stop())
  after(() => rmSync(directory, { recursive: true, force: true }))

  it('XKS T-10, XKS T-11: kmsRegions lets AWS KMS of that region in, and nobody else', async () => {
    xks = await XksDaemonUnderTest.start({ clientCertificates: { kmsRegions: ['eu-west-1'] } })
    const { authority } = xks
    const stranger = await TestAuthority.create() // of the same name
    const ofKms: IssueOptions = { names: [OF_KMS], purpose: 'client' }
    await assertLetIn(authority, ofKms)
    const past = {
      notBefore: new Date(Date.now() - 2 * DAY_MS),
      notAfter: new Date(Date.now() - DAY_MS),
    }
    const others: readonly (readonly [string, TestAuthority, IssueOptions])[] = [
      ['of another region', authority, { ...ofKms, names: ['cks.kms.us-east-1.amazonaws.com'] }],
      ['with a longer name', authority, { ...ofKms, names: [`${OF_KMS}.example.com`] }],
      ['with the name in its SAN only', authority, { ...ofKms, names: ['x'], dnsNames: [OF_KMS] }],
      ['with two names', authority, { ...ofKms, names: [OF_KMS, 'another'] }],
      ['of another CA', stranger, ofKms],
      ['that is a server’s', authority, { ...ofKms, purpose: 'server' }],
      ['that has expired', authority, { ...ofKms, ...past }],
    ]
    const before = xks.records().length
    for (const [what, by, options] of others) {
      const name = await exceptionName(storeFor(await by.issue(options)))
      expect(name, what).to.equal('XksProxyUriUnreachableException')
    }
    expect(await exceptionName(storeFor({}))).to.equal('XksProxyUriUnreachableException')
    expect(xks.records()).to.have.length(before)

    // The CA changes while the daemon runs: what the old one issued is refused from then on.
    writeFileSync(join(xks.daemon.directory, 'client-ca.pem'), stranger.cert)
    await xks.administer('reload', {})
    await assertLetIn(stranger, ofKms)
    const late = await exceptionName(storeFor(await authority.issue(ofKms)))
    expect(late).to.equal('XksProxyUriUnreachableException')
  })

  it('XKS T-04: plain HTTP over a unix socket is for its owner alone', async () => {
    const socketPath = join(directory, 'xks.sock')
    xks = await XksDaemonUnderTest.start({ plainHttp: true, xks: { listen: `unix:${socketPath}` } })
    expect(xks.daemon.xks).to.equal(`unix:${socketPath}`)
    expect(statSync(socketPath).mode & 0o777).to.equal(0o600)
    expect(await healthOver(socketPath)).to.equal(200)
  })

  it('AT-S24: replays: reject opens to the same bytes once, and the metric and the log tell of the rest', async () => {
    xks = await XksDaemonUnderTest.start({ xks: { replays: 'reject' } })
    const { host, port, ca, accessKeyId } = xks.endpoint()
    const bytes = signedXksWire(xks.endpoint(), HEALTH_CALL)
    const send = async () => {
      const socket = connect({ host, port, ca, servername: 'localhost' })
      try {
        socket.write(bytes)
        return (await readAnswer(socket)).status
      } finally {
        socket.destroy()
      }
    }
    expect([await send(), await send(), await send()]).to.deep.equal([200, 401, 401])
    const text = await (await fetch(`${xks.daemon.ops}/metrics`)).text()
    expect(text).to.match(/^hsm_bridge_xks_replays_total\{store="store"\} 2$/m)
    const line = xks.daemon
      .log()
      .split('\n')
      .find((it) => it.includes('signed request repeated'))
    expect(line).to.contain(accessKeyId).and.contain('"mode":"reject"')
  })

  async function assertLetIn(authority: TestAuthority, options: IssueOptions): Promise<void> {
    const kms = await storeFor(await authority.issue(options))
    expect(await kms.connect()).to.equal('CONNECTED')
    kms.close()
  }

  function storeFor({ cert, key }: { cert?: string; key?: string }): Promise<FakeKms> {
    const { region, accessKeyId, secretAccessKey } = xks.endpoint()
    return FakeKms.createCustomKeyStore({
      uriEndpoint: xks.url,
      uriPath: `${PREFIX}/kms/xks/v1`,
      credential: { accessKeyId, secretAccessKey },
      region,
      tls: { ca: xks.authority.cert, ...(cert !== undefined && { cert, key }) },
    })
  }

  function healthOver(socketPath: string): Promise<number | undefined> {
    const endpoint = { ...xks.endpoint(), host: 'localhost', port: 443 }
    const [head = '', body = ''] = signedXksWire(endpoint, HEALTH_CALL).toString().split('\r\n\r\n')
    const [first = '', ...lines] = head.split('\r\n')
    const headers = Object.fromEntries(lines.map((line) => line.split(/: (.*)/s, 2)))
    return new Promise((resolve, reject) => {
      request({ socketPath, path: first.split(' ')[1], method: 'POST', headers }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode))
      })
        .on('error', reject)
        .end(body)
    })
  }
})

async function exceptionName(call: Promise<FakeKms>): Promise<string> {
  const error: unknown = await call.then(
    (kms) => kms.close(),
    (it: unknown) => it,
  )
  return error instanceof KmsException ? error.name : 'none'
}
