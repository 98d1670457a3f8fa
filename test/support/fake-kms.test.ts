import { expect } from 'chai'
import { TestAuthority } from './certificates.ts'
import { FakeKms, type FakeKmsOptions } from './fake-kms.ts'
import { KmsException } from './fake-kms-exception.ts'
import {
  type ReferenceOptions,
  ReferenceXksProxy,
  referenceCredential,
  referenceKey,
} from './reference-xks-proxy.ts'

const PLAINTEXT = Buffer.from('a secret')

describe('fake KMS', () => {
  const credential = referenceCredential()
  const next = referenceCredential()
  let proxy: ReferenceXksProxy
  let kms: FakeKms | undefined

  afterEach(async () => {
    kms?.close()
    kms = undefined
    await proxy.stop()
  })

  it('makes a key, encrypts, decrypts, draws data keys and re-encrypts', async () => {
    const { kms } = await connected()
    const [one, two] = [await kms.createKey('key'), await kms.createKey('other')]
    const blob = await kms.encrypt(one, PLAINTEXT, { purpose: 'orders' })
    expect(await kms.decrypt(blob, { purpose: 'orders' })).to.deep.equal(PLAINTEXT)
    const { plaintext, ciphertext } = await kms.generateDataKey(one)
    expect(await kms.decrypt(await kms.reEncrypt(ciphertext, two))).to.deep.equal(plaintext)
  })

  it('works over TLS with a client certificate', async () => {
    const authority = await TestAuthority.create()
    const server = await authority.issue({ purpose: 'server' })
    const client = await authority.issue({ purpose: 'client' })
    const { cert, key } = server
    const tls = { cert, key, ca: authority.cert, requestCert: true, rejectUnauthorized: true }
    await start({ tls })
    const given = { ca: authority.cert, cert: client.cert, key: client.key }
    kms = await FakeKms.createCustomKeyStore(config({ tls: given }))
    expect(await kms.connect()).to.equal('CONNECTED')
    expect(
      await kms.decrypt(await kms.encrypt(await kms.createKey('key'), PLAINTEXT)),
    ).to.deep.equal(PLAINTEXT)
    const stranger = FakeKms.createCustomKeyStore(config({ tls: { ca: authority.cert } }))
    expect((await exception(stranger)).name).to.equal('XksProxyUriUnreachableException')
  })

  it('keeps several connections alive', async () => {
    const { kms } = await connected({}, { hosts: 3, connectionsPerHost: 2 })
    const key = await kms.createKey('key')
    const many = () => Promise.all(Array.from({ length: 30 }, () => kms.encrypt(key, PLAINTEXT)))
    await many()
    const opened = proxy.connections
    await many()
    expect(opened).to.be.within(3, 6)
    expect(proxy.connections).to.equal(opened)
  })

  it('waits 250 ms, tries once more, and then gives up', async () => {
    let slow = false
    const { kms } = await connected({ delayMs: () => (slow ? 400 : 0) })
    const key = await kms.createKey('key')
    slow = true
    const error = await exception(kms.encrypt(key, PLAINTEXT))
    expect([error.name, error.proxyError]).to.deep.equal(['KMSInvalidStateException', 'timeout'])
    const call = kms.calls.at(-1)
    expect(call).to.include({ operation: 'encrypt', attempts: 2, proxyError: 'timeout' })
    expect(call?.milliseconds).to.be.within(490, 2_000)
  })

  it('succeeds when the second attempt does', async () => {
    let drops = 0
    const { kms } = await connected({ drops: () => drops-- > 0 })
    const key = await kms.createKey('key')
    drops = 1
    await kms.encrypt(key, PLAINTEXT)
    expect(kms.calls.at(-1)).to.include({ attempts: 2, proxyError: undefined })
    drops = 2
    expect((await exception(kms.encrypt(key, PLAINTEXT))).proxyError).to.equal('unreachable')
  })

  it('does not try again what the proxy refused', async () => {
    const { kms } = await connected()
    const error = await exception(kms.createKey('absent'))
    expect(error.name).to.equal('XksKeyNotFoundException')
    expect(kms.calls.at(-1)).to.include({ attempts: 1, proxyError: 'KeyNotFoundException' })
  })

  for (const [defect, reason] of [
    ['CDIV in another order', 'integrity value'],
    ['CDIV is left out', 'no ciphertextDataIntegrityValue'],
    ['metadata of 24 bytes', 'length of the metadata'],
    ['the tag stays at the ciphertext', 'length of the ciphertext'],
  ] as const)
    it(`AT-C13: does not believe an encryption: ${defect}`, async () => {
      const { kms } = await connected({ defects: [defect] })
      const error = await exception(kms.encrypt(await kms.createKey('key'), PLAINTEXT))
      expect(error.name).to.equal('KMSInvalidStateException')
      expect(error.message).to.equal(reason)
    })

  for (const externalKeyId of ['disabled', 'encrypt-only'])
    it(`makes no key on an external one that is ${externalKeyId}`, async () => {
      const { kms } = await connected()
      const error = await exception(kms.createKey(externalKeyId))
      expect(error.name).to.equal('XksKeyInvalidConfigurationException')
    })

  it('makes no second key on the same external one', async () => {
    const { kms } = await connected()
    await kms.createKey('key')
    expect((await exception(kms.createKey('key'))).name).to.equal('XksKeyAlreadyInUseException')
  })

  it('hears InvalidCiphertextException for another encryption context and a damaged blob', async () => {
    const { kms } = await connected()
    const blob = await kms.encrypt(await kms.createKey('key'), PLAINTEXT, { a: 'b' })
    const other = await exception(kms.decrypt(blob, { a: 'c' }))
    expect(other.proxyError).to.equal('InvalidCiphertextException')
    blob.writeUInt8(blob.readUInt8(blob.length - 1) ^ 1, blob.length - 1)
    expect((await exception(kms.decrypt(blob, { a: 'b' }))).name).to.equal(
      'KMSInvalidStateException',
    )
  })

  it('does not connect while every key manager is unavailable', async () => {
    let healthStatus: 'ACTIVE' | 'UNAVAILABLE' = 'ACTIVE'
    await start({ healthStatus: () => healthStatus })
    kms = await FakeKms.createCustomKeyStore(config())
    healthStatus = 'UNAVAILABLE'
    expect(await kms.connect()).to.equal('XKS_PROXY_NOT_REACHABLE')
    expect((await exception(kms.createKey('key'))).proxyError).to.equal('not connected')
    const error = await exception(FakeKms.createCustomKeyStore(config()))
    expect(error.name).to.equal('XksProxyUriUnreachableException')
  })

  for (const [what, change, name] of [
    ['another path', { uriPath: '/none/kms/xks/v1' }, 'XksProxyInvalidConfigurationException'],
    [
      'another region',
      { region: 'us-east-1' },
      'XksProxyIncorrectAuthenticationCredentialException',
    ],
    [
      'another credential',
      { credential: referenceCredential() },
      'XksProxyIncorrectAuthenticationCredentialException',
    ],
    [
      'nobody there',
      { uriEndpoint: new URL('http://localhost:9') },
      'XksProxyUriUnreachableException',
    ],
  ] as const)
    it(`refuses a key store with ${name}: ${what}`, async () => {
      await start()
      const error = await exception(FakeKms.createCustomKeyStore(config(change)))
      expect(error.name).to.equal(name)
    })

  it('cannot interpret an error without a name, or without its content type', async () => {
    for (const defect of ['errors have no name', 'errors have no Content-Type'] as const) {
      const { kms } = await connected({ defects: [defect] })
      expect((await exception(kms.createKey('absent'))).proxyError).to.equal('malformed')
      kms.close()
      await proxy.stop()
    }
    await start()
  })

  it('switches credentials host by host, both in use meanwhile', async () => {
    const { kms } = await connected({}, { hosts: 4 })
    const key = await kms.createKey('key')
    const switched = kms.updateCredential(next, 20)
    let encryptions = 0
    const until = performance.now() + 120
    while (performance.now() < until) {
      await kms.encrypt(key, PLAINTEXT)
      encryptions++
    }
    await switched
    expect(encryptions).to.be.greaterThan(10)
    expect(kms.calls.filter(({ proxyError }) => proxyError !== undefined)).to.deep.equal([])
  })

  async function start(options: ReferenceOptions = {}): Promise<void> {
    const keys = new Map([
      ['key', referenceKey()],
      ['other', referenceKey()],
      ['disabled', referenceKey({ enabled: false })],
      ['encrypt-only', referenceKey({ usage: ['ENCRYPT'] })],
    ])
    const store = { uriPathPrefix: '/one', credentials: [credential, next], keys }
    proxy = await new ReferenceXksProxy([store], options).start()
  }

  async function connected(options: ReferenceOptions = {}, changes: Partial<FakeKmsOptions> = {}) {
    await start(options)
    kms = await FakeKms.createCustomKeyStore(config(changes))
    expect(await kms.connect()).to.equal('CONNECTED')
    return { kms }
  }

  function config(changes: Partial<FakeKmsOptions> = {}): FakeKmsOptions {
    return { uriEndpoint: proxy.url, uriPath: '/one/kms/xks/v1', credential, ...changes }
  }
})

async function exception(work: Promise<unknown>): Promise<KmsException> {
  const outcome = await work.catch((error: unknown) => error)
  expect(outcome).to.be.instanceOf(KmsException)
  return outcome as KmsException
}
