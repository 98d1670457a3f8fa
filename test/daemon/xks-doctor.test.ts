import { expect } from 'chai'
import { randomBytes, X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Sensitive } from '../../src/bytes/sensitive.ts'
import type { Check } from '../../src/daemon/doctor.ts'
import { HostSeal } from '../../src/daemon/host-seal.ts'
import type { Installation } from '../../src/daemon/installation.ts'
import { addXksCredential } from '../../src/daemon/xks-credential.ts'
import {
  assertFresh,
  assertListsCurrent,
  assertName,
  assertNames,
  assertPort,
  checkXks,
} from '../../src/daemon/xks-doctor.ts'
import { makeXksStore } from '../../src/daemon/xks-store.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import { type IssueOptions, TestAuthority } from '../support/certificates.ts'
import {
  type ReferenceOptions,
  ReferenceXksProxy,
  referenceCredential,
} from '../support/reference-xks-proxy.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const DAY_MS = 24 * 60 * 60 * 1000
const HOST = 'xks.example.com'

describe('xks doctor', () => {
  const directory = temporaryDirectory()
  const caFile = join(directory, 'ca.pem')
  const crlFile = join(directory, 'crl')
  const trustedCasFile = join(directory, 'trusted-cas')
  let authority: TestAuthority

  before(async () => {
    authority = await TestAuthority.create()
    writeFileSync(caFile, authority.cert)
    const { fingerprint256 } = new X509Certificate(authority.cert)
    writeFileSync(trustedCasFile, `${fingerprint256.replaceAll(':', '')} ours\n`)
  })

  const issued = async (options: IssueOptions): Promise<X509Certificate> =>
    new X509Certificate((await authority.issue(options)).cert)

  it('XKS U-04: wants https and a fully qualified name', () => {
    expect(assertName(new URL(`https://${HOST}`))).equal(HOST)
    for (const url of [
      'http://xks.example.com',
      'https://192.0.2.1',
      'https://[::1]',
      'https://xks',
      'https://localhost.',
    ])
      expect(() => assertName(new URL(url)), url).throw()
  })

  it('XKS T-12: wants port 443 and an A record', async () => {
    const judged = (url: string, find: Parameters<typeof assertPort>[1]) =>
      assertPort(new URL(url), find).catch((error: Error) => error.message)
    const found = async () => ['192.0.2.1', '192.0.2.2']
    const none = () => Promise.reject(Object.assign(new Error('none'), { code: 'ENOTFOUND' }))
    const away = () => Promise.reject(Object.assign(new Error('away'), { code: 'EAI_AGAIN' }))
    expect(await judged(`https://${HOST}`, found)).equal('443, at 192.0.2.1, 192.0.2.2')
    expect(await judged(`https://${HOST}`, none)).include(`${HOST} has no A record`)
    expect(await judged(`https://${HOST}`, async () => [])).include(`${HOST} has no A record`)
    expect(await judged(`https://${HOST}`, away))
      .include('EAI_AGAIN')
      .not.include('no A record')
    expect(await judged(`https://${HOST}:4443`, found))
      .include('443 only')
      .include('port 4443')
    expect(await judged(`https://${HOST}:4443`, none))
      .include('443 only')
      .include('no A record')
    expect(
      await assertPort(new URL('https://[::1]')).catch((error: Error) => error.message),
    ).include('no A record')
    expect(await assertPort(new URL('https://127.0.0.1'))).include('127.0.0.1')
  })

  it('XKS T-05, XKS T-06: compares CN and SAN, and takes a wildcard for both', async () => {
    const fits = async (names: string[], dnsNames: string[]): Promise<string> =>
      assertNames(await issued({ names, dnsNames }), HOST)
    const refusal = (names: string[], dnsNames: string[]): Promise<string> =>
      fits(names, dnsNames).then(
        () => expect.fail('it was taken'),
        (error: Error) => error.message,
      )
    expect(await fits([HOST], [HOST])).include(HOST)
    expect(await fits(['*.example.com'], ['*.example.com'])).include('*.example.com')
    expect(await refusal(['other.example.com'], [HOST])).include('subject CN')
    expect(await refusal([HOST], ['other.example.com'])).include('SAN')
    expect(await refusal(['*.com'], [HOST])).include('subject CN')
    expect(await refusal([HOST, 'second.example.com'], [HOST])).include('subject CN')
  })

  it('tells ten days before that a certificate expires', async () => {
    const now = Date.now()
    const certificate = await issued({
      notBefore: new Date(now - DAY_MS),
      notAfter: new Date(now + 30 * DAY_MS),
    })
    expect(assertFresh(certificate, now)).match(/^good for (29|30) days$/)
    expect(() => assertFresh(certificate, now + 21 * DAY_MS)).throw('expires')
    expect(() => assertFresh(certificate, now + 31 * DAY_MS)).throw('expires')
    expect(() => assertFresh(certificate, now - 2 * DAY_MS)).throw('valid from')
  })

  it('AT-H13: tells of CRLs that are out of date', async () => {
    const tomorrow = new Date(Date.now() + DAY_MS)
    const brief = new Date(Date.now() + DAY_MS / 2)
    const lists = [
      await authority.revoke({ nextUpdate: tomorrow }),
      await authority.revoke({ nextUpdate: brief }),
    ]
    writeFileSync(crlFile, lists.join(''))
    expect(assertListsCurrent([crlFile], Date.now())).equal('good for 11 hours')
    const late = tomorrow.getTime() - 1000
    expect(() => assertListsCurrent([crlFile], late)).throw(`${crlFile} is out of date`)
    writeFileSync(crlFile, await authority.revoke({ nextUpdate: undefined }))
    expect(assertListsCurrent([crlFile], late)).equal('no next update is promised')
  })

  describe('on a proxy', () => {
    const credential = referenceCredential()

    /** The checks on the reference proxy, by name. */
    async function checks(
      options: ReferenceOptions = {},
      { signs = credential, withCa = true, withList = true, crlFiles = [] as string[] } = {},
    ): Promise<Map<string, Check>> {
      const seal = new HostSeal(randomBytes(32))
      const storage = await openStorage({ path: join(directory, `${Math.random()}.db`) })
      const { cert, key } = await authority.issue()
      const served = { uriPathPrefix: '/p', credentials: [credential], keys: new Map() }
      const tls = { cert, key }
      const proxy = await new ReferenceXksProxy([served], {
        region: 'eu-west-1',
        tls,
        ...options,
      }).start()
      try {
        const rest = { requestsPerSecond: undefined, enabled: true, policy: undefined }
        const regions = ['eu-west-1']
        await makeXksStore(storage, { name: 'p', uriPathPrefix: '/p', regions, ...rest })
        const { accessKeyId, secretAccessKey } = signs
        const secret = new Sensitive(secretAccessKey)
        await addXksCredential({ storage, seal }, 'p', { accessKeyId, secretAccessKey: secret })
        const logger = { error: () => undefined }
        const config = { xks: { clientCertificates: { crlFiles } } }
        const installation = { storage, seal, logger, config } as unknown as Installation
        const wish = {
          ...{ store: 'p', url: proxy.url.origin },
          ...(withCa && { caFile }),
          ...(withList && { trustedCasFile }),
        }
        const found = await checkXks(installation, wish)
        return new Map(found.map((it) => [it.name, it]))
      } finally {
        await proxy.stop()
        await storage.close()
      }
    }
    const failed = (found: Map<string, Check>) =>
      [...found.values()].filter(({ passed }) => !passed).map(({ name }) => name)

    // Of a certificate for a day, at localhost, on a port that the system chose.
    const HERE = ['name', 'port', 'certificate expiry']

    it('XKS T-03, XKS T-12: sees chain, names, suites and a signed answer in time', async () => {
      const found = await checks()
      expect(failed(found)).deep.equal(HERE)
      expect(found.get('cipher suites')?.detail).include('TLS_AES_256_GCM_SHA384')
      expect(found.get('port')?.detail).include('443 only')
      expect(found.get('health')?.detail).match(/^ACTIVE; \d+ ms on a new .* \d+ ms on a warm one$/)
    })

    it('says of the clock what it was compared with: the heartbeat, and no clock outside', async () => {
      const clock = (await checks()).get('clock')
      expect(clock?.passed).equal(true)
      expect(clock?.detail).match(
        /^only the heartbeat in the database was compared, .*: no daemon has run yet$/,
      )
    })

    it('sees a certificate of a CA that nobody knows here', async () => {
      const found = await checks({}, { withCa: false })
      expect(failed(found)).deep.equal([
        'name',
        'port',
        'certificate chain',
        'certificate authority',
        'certificate expiry',
        'health',
      ])
      expect(found.get('certificate authority')?.detail).include('CN=hsm-bridge test CA was not')
    })

    it('XKS T-05: compares the CA with AWS’s list, whoever is trusted here, and says what comes of it', async () => {
      const ours = (await checks()).get('certificate authority')
      const named = 'CN=hsm-bridge test CA is one of the 1 that AWS KMS trusts'
      expect(ours).deep.include({ passed: true, detail: named })
      const shipped = await checks({}, { withList: false })
      expect(shipped.get('certificate chain')).include({ passed: true })
      const refused = shipped.get('certificate authority')
      expect(refused?.detail).include('130 CAs does not have CN=hsm-bridge test CA')
      expect(refused?.nextStep)
        .include('XksProxyUriUnreachableException')
        .include('--trusted-cas-file')
    })

    it('AT-H13: looks at the CRLs for clients, where there are any, before they lock everybody out', async () => {
      expect((await checks()).has('client CRLs')).equal(false)
      writeFileSync(crlFile, await authority.revoke())
      const found = await checks({}, { crlFiles: [crlFile] })
      expect(found.get('client CRLs')).deep.include({ passed: true, detail: 'good for 23 hours' })
    })

    it('sees that it is too slow for AWS KMS, refuses a signature, or has no token that works', async () => {
      const slow = (await checks({ delayMs: () => 300 })).get('health')
      expect(slow).deep.include({ passed: false })
      expect(slow?.detail).include('AWS KMS waits 250 ms')
      const stranger = { signs: referenceCredential() }
      expect((await checks({}, stranger)).get('health')?.detail).match(
        /^it answers 401: .*Authentication/,
      )
      const down = await checks({ healthStatus: () => 'UNAVAILABLE' })
      expect(down.get('health')?.detail).include('every token is UNAVAILABLE')
    })

    it('sees a server without a suite that AWS KMS knows', async () => {
      const { cert, key } = await authority.issue()
      const ciphers = 'ECDHE-ECDSA-AES128-GCM-SHA256'
      const found = await checks({ tls: { cert, key, ciphers, maxVersion: 'TLSv1.2' } })
      expect(found.get('cipher suites')).include({ passed: false, detail: 'none of the four' })
    })
  })
})
