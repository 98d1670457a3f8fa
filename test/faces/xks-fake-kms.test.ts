import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { X509Certificate } from 'node:crypto'
import { FakeKms, type FakeKmsOptions } from '../support/fake-kms.ts'
import { KmsException } from '../support/fake-kms-exception.ts'
import { PREFIX, STORE, XksDaemonUnderTest } from '../support/xks-daemon.ts'
import { REQUEST_METADATA } from '../support/xks-request.ts'

const PLAINTEXT = Buffer.from('a secret')
const SWITCH_PAUSE_MS = 60

/** What the KMS API lets CreateCustomKeyStore be given. */
const KMS_PATTERNS = {
  XksProxyUriPath: /^(\/[a-zA-Z0-9/_-]+\/kms\/xks\/v\d{1,2})$|^(\/kms\/xks\/v\d{1,2})$/,
  AccessKeyId: /^[A-Z2-7]{20,30}$/,
  RawSecretAccessKey: /^[a-zA-Z0-9/+=]{43,64}$/,
}

interface ConfigFile {
  readonly XksProxyUriPath: string
  readonly XksProxyAuthenticationCredential: {
    readonly AccessKeyId: string
    readonly RawSecretAccessKey: string
  }
}

describe('the XKS face of a daemon before AWS KMS', () => {
  let xks: XksDaemonUnderTest
  let config: ConfigFile
  let kms: FakeKms

  before(async () => {
    xks = await XksDaemonUnderTest.start()
    for (const name of ['one', 'two', 'sometimes']) await xks.createKey(name)
    config = await makeConfigFile()
    kms = await FakeKms.createCustomKeyStore(optionsOf(config))
  })
  after(async () => {
    kms?.close()
    await xks?.stop()
  })

  it('XKS A-06, XKS L-05: config-file writes, once and for its owner alone, what CreateCustomKeyStore takes', async () => {
    const file = await xks.writeConfigFile()
    expect(statSync(file).mode & 0o777).to.equal(0o600)
    const written = JSON.parse(readFileSync(file, 'utf8')) as ConfigFile
    expect(written).to.have.all.keys('XksProxyUriPath', 'XksProxyAuthenticationCredential')
    const { XksProxyUriPath, XksProxyAuthenticationCredential: credential } = written
    expect(XksProxyUriPath).to.match(KMS_PATTERNS.XksProxyUriPath).and.equal(`${PREFIX}/kms/xks/v1`)
    expect(credential).to.have.all.keys('AccessKeyId', 'RawSecretAccessKey')
    expect(credential.AccessKeyId).to.match(KMS_PATTERNS.AccessKeyId)
    expect(credential.RawSecretAccessKey).to.match(KMS_PATTERNS.RawSecretAccessKey)
    const again = await xks.daemon
      .cli('xks', 'config-file', STORE, '--out', file)
      .catch((it: Error) => it)
    expect(again).to.be.an('error')
    expect(JSON.parse(readFileSync(file, 'utf8'))).to.deep.equal(written)
  })

  it('connects, makes KMS keys, encrypts, decrypts, draws data keys and re-encrypts', async () => {
    expect(await kms.connect()).to.equal('CONNECTED')
    const [one, two] = [await kms.createKey('one'), await kms.createKey('two')]
    const context = { purpose: 'orders' }
    const blob = await kms.encrypt(one, PLAINTEXT, context)
    expect(await kms.decrypt(blob, context)).to.deep.equal(PLAINTEXT)
    const { plaintext, ciphertext } = await kms.generateDataKey(one)
    expect(await kms.decrypt(await kms.reEncrypt(ciphertext, two))).to.deep.equal(plaintext)
    const longest = Buffer.alloc(4096, 7)
    expect(await kms.decrypt(await kms.encrypt(two, longest))).to.deep.equal(longest)
    expect(kms.calls.filter(({ proxyError }) => proxyError !== undefined)).to.deep.equal([])
    const other = await exception(kms.decrypt(blob, { purpose: 'others' }))
    expect(other).to.include(mapped('KMSInvalidStateException', 'InvalidCiphertextException'))
  })

  it('XKS L-01, XKS M-06: each call is in the audit spool with what AWS KMS said of it', () => {
    const metadata = xks.records().map(({ requestParameters }) => requestParameters.requestMetadata)
    const operations = new Set(metadata.map((it) => it?.['kmsOperation']))
    expect([...operations]).to.include.members([
      ...['CreateCustomKeyStore', 'ConnectCustomKeyStore', 'CreateKey'],
      ...['Encrypt', 'Decrypt', 'GenerateDataKey', 'ReEncrypt'],
    ])
    expect(metadata.every((it) => (it?.['kmsRequestId'] ?? '') !== '')).to.equal(true)
  })

  it('XKS Z-05: a key serves the KMS key that it is pinned to; another is refused, and the audit spool says why', async () => {
    const name = `${STORE}/pinned`
    const arn = await kms.createKey(await xks.createKey('pinned'))
    await xks.administer('xks key pin', { name, kmsKeyArn: arn })
    const blob = await kms.encrypt(arn, PLAINTEXT)
    expect(await kms.decrypt(blob)).to.deep.equal(PLAINTEXT)
    await xks.administer('xks key pin', { name, kmsKeyArn: REQUEST_METADATA.kmsKeyArn })
    for (const call of [() => kms.encrypt(arn, PLAINTEXT), () => kms.decrypt(blob)])
      expect(await exception(call())).to.include(
        mapped('KMSInvalidStateException', 'AccessDeniedException'),
      )
    const denied = xks.records().findLast(({ errorCode }) => errorCode === 'AccessDeniedException')
    expect(denied?.additionalEventData['decision']).to.match(/^denied: .*pinned/)
  })

  it('XKS G-05: a key that is disabled here fails there, at once and only so long', async () => {
    const arn = await kms.createKey('sometimes')
    const blob = await kms.encrypt(arn, PLAINTEXT)
    await xks.administer('xks key disable', { name: `${STORE}/sometimes` })
    for (const call of [() => kms.encrypt(arn, PLAINTEXT), () => kms.decrypt(blob)])
      expect(await exception(call())).to.include(
        mapped('KMSInvalidStateException', 'InvalidStateException'),
      )
    await xks.administer('xks key enable', { name: `${STORE}/sometimes` })
    expect(await kms.decrypt(blob)).to.deep.equal(PLAINTEXT)
  })

  for (const [what, keyId, keyUsage, exceptionName] of [
    ['that is not there', 'absent', undefined, 'XksKeyNotFoundException'],
    ['for one use only', 'half', ['ENCRYPT'], 'XksKeyInvalidConfigurationException'],
  ] as const)
    it(`CreateKey refuses a key ${what}`, async () => {
      if (keyUsage) await xks.createKey(keyId, [...keyUsage])
      expect((await exception(kms.createKey(keyId))).name).to.equal(exceptionName)
    })

  it('XKS A-07, XKS A-08: credentials change host by host, without a call that fails', async () => {
    const arn = await kms.createKey(await xks.createKey('switched'))
    const next = await makeConfigFile()
    let switched = false
    let calls = 0
    const work = async () => {
      while (!switched) {
        expect(await kms.decrypt(await kms.encrypt(arn, PLAINTEXT))).to.deep.equal(PLAINTEXT)
        calls += 1
      }
    }
    const workers = Promise.all(Array.from({ length: 4 }, work))
    await kms.updateCredential(credentialOf(next), SWITCH_PAUSE_MS)
    switched = true
    await workers
    expect(calls).to.be.greaterThan(4)
    const { AccessKeyId } = config.XksProxyAuthenticationCredential
    await xks.administer('xks credential remove', { accessKeyId: AccessKeyId })
    expect(await kms.decrypt(await kms.encrypt(arn, PLAINTEXT))).to.deep.equal(PLAINTEXT)
    const late = FakeKms.createCustomKeyStore(optionsOf(config))
    expect((await exception(late)).name).to.equal(
      'XksProxyIncorrectAuthenticationCredentialException',
    )
    config = next
  })

  it('refuses a path that is no store’s', async () => {
    const elsewhere = { ...optionsOf(config), uriPath: '/none/kms/xks/v1' }
    const error = await exception(FakeKms.createCustomKeyStore(elsewhere))
    expect(error.name).to.equal('XksProxyInvalidConfigurationException')
  })

  it('XKS H-06, XKS H-09: health names the token and its state', async () => {
    const { ekmFleetDetails, xksProxyFleetSize } = await kms.healthCheck()
    expect(xksProxyFleetSize).to.equal(1)
    const [manager] = ekmFleetDetails as Record<string, string>[]
    expect(manager).to.include({ id: xks.daemon.token.serial, healthStatus: 'ACTIVE' })
  })

  it('XKS T-05, XKS T-06, XKS U-04, XKS T-12: xks doctor sees the same from the outside, and a name, port and dates that are a test’s', async () => {
    const here = ['name', 'port', 'certificate expiry']
    expect(await failedChecks()).to.deep.equal(here)
    const wrong = await xks.authority.issue({ names: ['other.example.com'] })
    writeFileSync(xks.certFile, wrong.cert)
    writeFileSync(xks.keyFile, wrong.key, { mode: 0o600 })
    await xks.administer('reload', {})
    expect(await failedChecks()).to.deep.equal(['name', 'port', 'certificate names', here.at(-1)])
    await xks.issueCertificate()
    await xks.administer('reload', {})
  })

  it('AWS KMS hears nothing from a daemon that has ended, and goes on with the one that comes', async () => {
    await xks.daemon.terminate()
    expect(await kms.connect()).to.equal('XKS_PROXY_NOT_REACHABLE')
    await xks.daemon.serve()
    const back = await FakeKms.createCustomKeyStore(optionsOf(config))
    expect(await back.connect()).to.equal('CONNECTED')
    back.close()
  })

  async function failedChecks(): Promise<string[]> {
    const caFile = join(xks.daemon.directory, 'ca.pem')
    writeFileSync(caFile, xks.authority.cert)
    const trustedCasFile = join(xks.daemon.directory, 'trusted-cas')
    writeFileSync(trustedCasFile, `SHA256: ${fingerprintOf(xks.authority.cert)}\n`)
    const checks = await xks.administer<readonly { name: string; passed: boolean }[]>(
      'xks doctor',
      { store: STORE, url: xks.url.origin, caFile, trustedCasFile },
    )
    return checks.filter(({ passed }) => !passed).map(({ name }) => name)
  }

  async function makeConfigFile(): Promise<ConfigFile> {
    return JSON.parse(readFileSync(await xks.writeConfigFile(), 'utf8')) as ConfigFile
  }

  function optionsOf(given: ConfigFile): FakeKmsOptions {
    return {
      uriEndpoint: xks.url,
      uriPath: given.XksProxyUriPath,
      credential: credentialOf(given),
      region: xks.daemon.region,
      tls: { ca: xks.authority.cert },
    }
  }
})

function fingerprintOf(pem: string): string {
  return new X509Certificate(pem).fingerprint256
}

function credentialOf({ XksProxyAuthenticationCredential: it }: ConfigFile) {
  return { accessKeyId: it.AccessKeyId, secretAccessKey: it.RawSecretAccessKey }
}

function mapped(name: string, proxyError: string) {
  return { name, proxyError }
}

async function exception(call: Promise<unknown>): Promise<KmsException> {
  const error: unknown = await call.catch((it: unknown) => it)
  if (error instanceof KmsException) return error
  throw new Error('it succeeded', { cause: error })
}
