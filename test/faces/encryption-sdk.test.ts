import { KMS } from '@aws-sdk/client-kms'
import { expect } from 'chai'
import { DaemonUnderTest } from '../support/daemon-under-test.ts'
import { awsSdk } from './aws-sdk.ts'
import { encryptionSdk } from './encryption-sdk.ts'

const PLAINTEXT = Buffer.from('secret text, as long as you like: '.repeat(1000))
const CONTEXT = { purpose: 'orders', größe: '12 €' }
const {
  buildClient,
  CommitmentPolicy,
  getLocalCryptographicMaterialsCache,
  KmsKeyringNode,
  NodeCachingMaterialsManager,
} = encryptionSdk
const { encrypt, decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)

describe('AWS’s Encryption SDK for JavaScript against a daemon', () => {
  let daemon: DaemonUnderTest
  let arn = ''
  let otherArn = ''
  /** Operations that the SDK asked the daemon for. */
  const asked: string[] = []

  before(async () => {
    daemon = await DaemonUnderTest.start()
    arn = await makeKey()
    otherArn = await makeKey()
  })
  after(() => daemon.stop())
  beforeEach(() => {
    asked.length = 0
  })

  const clientProvider = (region: string) => {
    const { accessKeyId, secretAccessKey } = daemon.credentials
    const credentials = { accessKeyId, secretAccessKey }
    const kms = new KMS({ endpoint: daemon.kms, region, credentials, maxAttempts: 1 })
    kms.middlewareStack.add((next, { commandName = '' }) => (args) => {
      asked.push(commandName)
      return next(args)
    })
    return kms
  }
  const keyring = (keys: { generatorKeyId: string; keyIds?: string[] } | { keyIds: string[] }) =>
    new KmsKeyringNode({ clientProvider, ...keys })

  it('encrypts with a context under a data key from here, and decrypts', async () => {
    const { result } = await encrypt(keyring({ generatorKeyId: arn }), PLAINTEXT, {
      encryptionContext: CONTEXT,
    })
    expect(asked).to.deep.equal(['GenerateDataKeyCommand'])
    const { plaintext, messageHeader } = await decrypt(keyring({ keyIds: [arn] }), result)
    expect(plaintext.equals(PLAINTEXT)).to.equal(true)
    expect(messageHeader.encryptionContext).to.include(CONTEXT)
    expect(asked.at(-1)).to.equal('DecryptCommand')
  })

  it('decrypts with a discovery keyring, which names no key', async () => {
    const { result } = await encrypt(keyring({ generatorKeyId: arn }), PLAINTEXT)
    const discovery = new KmsKeyringNode({ clientProvider, discovery: true })
    expect((await decrypt(discovery, result)).plaintext.equals(PLAINTEXT)).to.equal(true)
  })

  it('wraps a data key for two keys, and either opens the message', async () => {
    const both = keyring({ generatorKeyId: arn, keyIds: [otherArn] })
    const { result } = await encrypt(both, PLAINTEXT, { encryptionContext: CONTEXT })
    expect(asked).to.deep.equal(['GenerateDataKeyCommand', 'EncryptCommand'])
    for (const one of [arn, otherArn]) {
      const { plaintext } = await decrypt(keyring({ keyIds: [one] }), result)
      expect(plaintext.equals(PLAINTEXT)).to.equal(true)
    }
  })

  it('does not open it with a key that it was not wrapped for', async () => {
    const { result } = await encrypt(keyring({ generatorKeyId: arn }), PLAINTEXT)
    const outcome = decrypt(keyring({ keyIds: [otherArn] }), result)
    expect(await messageOf(outcome)).to.match(/unencryptedDataKey has not been set/)
  })

  it('decrypts what was encrypted before a rotation', async () => {
    const { result } = await encrypt(keyring({ generatorKeyId: arn }), PLAINTEXT)
    await awsSdk.call(daemon, 'RotateKeyOnDemand', { KeyId: arn })
    const { plaintext } = await decrypt(keyring({ keyIds: [arn] }), result)
    expect(plaintext.equals(PLAINTEXT)).to.equal(true)
  })

  it('AT-C04: a message whose context was edited is refused by the key', async () => {
    const { result } = await encrypt(keyring({ generatorKeyId: arn }), PLAINTEXT, {
      encryptionContext: CONTEXT,
    })
    const at = result.indexOf('orders')
    expect(at).to.be.greaterThan(0)
    result.write('ORDERS', at)
    const outcome = decrypt(keyring({ keyIds: [arn] }), result)
    expect(await messageOf(outcome)).to.match(/InvalidCiphertext|unencryptedDataKey/)
    expect(asked).to.deep.equal(['GenerateDataKeyCommand', 'DecryptCommand'])
  })

  it('asks for one data key for many messages through a caching materials manager', async () => {
    const materials = new NodeCachingMaterialsManager({
      backingMaterials: keyring({ generatorKeyId: arn }),
      cache: getLocalCryptographicMaterialsCache(100),
      maxAge: 60_000,
      maxMessagesEncrypted: 10,
    })
    const request = { encryptionContext: CONTEXT, plaintextLength: PLAINTEXT.length }
    const messages: Buffer[] = []
    for (let count = 0; count < 10; count++)
      messages.push((await encrypt(materials, PLAINTEXT, request)).result)
    expect(asked).to.deep.equal(['GenerateDataKeyCommand'])
    for (const message of messages)
      expect((await decrypt(materials, message)).plaintext.equals(PLAINTEXT)).to.equal(true)
    expect(asked).to.deep.equal(['GenerateDataKeyCommand', 'DecryptCommand'])
    await encrypt(materials, PLAINTEXT, request)
    expect(asked.at(-1)).to.equal('GenerateDataKeyCommand') // the eleventh
  })

  async function makeKey(): Promise<string> {
    const { KeyMetadata } = await awsSdk.call(daemon, 'CreateKey', {})
    return (KeyMetadata as { Arn: string }).Arn
  }
})

async function messageOf(outcome: Promise<unknown>): Promise<string> {
  try {
    await outcome
  } catch (error) {
    return String(error)
  }
  return expect.fail('it opened')
}
