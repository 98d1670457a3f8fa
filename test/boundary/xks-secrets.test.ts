import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import aws4 from 'aws4'
import { expect } from 'chai'
import { outcomeOf } from '../support/kms-client.ts'
import { XksClient } from '../support/xks-client.ts'
import { STORE, XksDaemonUnderTest } from '../support/xks-daemon.ts'
import { decryptCall, encryptCall, HEALTH_CALL, type XksAnswer } from '../support/xks-request.ts'
import { Canary } from './canary.ts'

interface Haystack {
  readonly place: string
  readonly bytes: Buffer
}

const KEY = 'key'
const HANDED_IN = 'HANDEDINCREDENTIAL2345'

describe('secrets behind the XKS face', () => {
  let bridge: XksDaemonUnderTest
  let files: Haystack[]
  const heard: Haystack[] = []
  const plaintext = randomBytes(48)
  const aad = randomBytes(32)
  const canaries = [new Canary('plaintext', plaintext)]

  before(async function () {
    this.timeout(60_000)
    bridge = await XksDaemonUnderTest.start({
      faults: { record: true },
      config: { log: { level: 'debug' } },
    })
    const { secretAccessKey } = bridge.endpoint()
    canaries.push(new Canary('PIN', bridge.daemon.token.pin))
    canaries.push(new Canary('secret of the credential', secretAccessKey))
    await bridge.createKey(KEY)
    await useKey()
    await sendWrongSignature()
    await administer()
    await bridge.daemon.terminate()
    files = filesBelow(bridge.daemon.directory, bridge.daemon.token.dir)
  })
  after(() => bridge?.stop())

  const hear = (place: string, text: string) => heard.push({ place, bytes: Buffer.from(text) })

  /** What goes well, and every way of failing that has the plaintext in its hands. */
  async function useKey(): Promise<void> {
    const xks = new XksClient(bridge.endpoint())
    const sealed = await xks.encrypt(KEY, plaintext, aad)
    expect(await xks.decrypt(KEY, sealed, aad)).to.deep.equal(plaintext)
    const good = encryptCall(KEY, plaintext, aad)
    const refused = [
      { ...good, body: { ...good.body, encryptionAlgorithm: 'AES_CBC' } },
      { ...good, body: { ...good.body, ciphertextDataIntegrityValueAlgorithm: 'SHA_1' } },
      { ...good, body: { ...good.body, requestMetadata: {} } },
      { ...good, body: { ...good.body, plaintext: `${plaintext.toString('base64')}!` } },
      encryptCall('no-such-key', plaintext, aad),
      decryptCall(KEY, sealed, plaintext),
    ]
    for (const call of refused) hearAnswer(await bridge.call(call))
    for (const rule of ['C_Encrypt rv=0x30', 'C_Encrypt flip=9', 'C_Decrypt flip=9']) {
      bridge.daemon.faults.rules([`${rule} lane=hot`])
      hearAnswer(await bridge.call(good))
      bridge.daemon.faults.clear()
      await bridge.daemon.whole()
    }
  }

  function hearAnswer({ status, body }: XksAnswer): void {
    expect(status).to.be.greaterThan(399)
    hear(String(body.errorName), JSON.stringify(body))
  }

  /** What the right signature would have been is a canary. */
  async function sendWrongSignature(): Promise<void> {
    const endpoint = bridge.endpoint()
    const { accessKeyId, secretAccessKey, host, port, region } = endpoint
    const path = `${endpoint.uriPathPrefix}/kms/xks/v1/${HEALTH_CALL.path}`
    const headers = { Host: `${host}:${port}`, 'Content-Type': 'application/json' }
    const body = JSON.stringify(HEALTH_CALL.body)
    const wanted = { service: 'kms-xks-proxy', region, method: 'POST', path, headers, body }
    const signer = new aws4.RequestSigner(wanted, { accessKeyId, secretAccessKey })
    signer.sign()
    canaries.push(new Canary('expected signature', Buffer.from(signer.signature(), 'hex')))
    canaries.push(new Canary('string to sign', signer.stringToSign()))
    const secret = `x${secretAccessKey.slice(1)}`
    const answer = await bridge.call(HEALTH_CALL, { ...endpoint, secretAccessKey: secret })
    expect(answer.body.errorName).to.equal('AuthenticationFailedException')
    hearAnswer(answer)
  }

  async function administer(): Promise<void> {
    await bridge.administer('xks key rotate', { name: `${STORE}/${KEY}` })
    const secret = randomBytes(48).toString('base64')
    canaries.push(new Canary('secret that was handed in', secret))
    const credential = { accessKeyId: HANDED_IN, secret }
    const added = await bridge.administer('xks credential add', { store: STORE, credential })
    hear('xks credential add', JSON.stringify(added))
    await bridge.administer('xks credential remove', { accessKeyId: HANDED_IN })
    for (const command of [
      ['xks', 'store', 'list'],
      ['xks', 'store', 'show', STORE],
      ['xks', 'key', 'list'],
      ['doctor'],
    ]) {
      const text = await bridge.daemon.cli(...command, '--json')
      hear(command.join(' '), text)
    }
    const parameters = { store: STORE, credential: bridge.endpoint().secretAccessKey }
    expect(await outcomeOf(bridge.administer('xks credential add', parameters))).to.not.equal('ok')
    hear('/metrics', await (await fetch(`${bridge.daemon.ops}/metrics`)).text())
  }

  const holding = (haystacks: readonly Haystack[], canary: Canary): string[] =>
    haystacks.filter(({ bytes }) => canary.isIn(bytes)).map(({ place }) => place)

  it('AT-K01, AT-H16, XKS A-17, XKS X-15: none stands in an answer, a metric, or what the command line prints', () => {
    expect(heard).to.have.length.of.at.least(14)
    for (const canary of canaries) expect(holding(heard, canary), canary.name).to.deep.equal([])
  })

  it('AT-K01, XKS L-02, XKS D-10: files hold none, but those that are there to hold one', () => {
    const { directory, token } = bridge.daemon
    const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
      PIN: [join(token.dir, 'pin')],
      'secret of the credential': [join(directory, 'credential-1.json')], // xks config-file
    }
    for (const canary of canaries)
      expect(holding(files, canary), canary.name).to.have.members(EXCEPTIONS[canary.name] ?? [])
  })

  it('looks into log, audit spool and database, which tell of this very session', () => {
    const wholeOf = (part: string) =>
      Buffer.concat(files.filter(({ place }) => place.includes(part)).map(({ bytes }) => bytes))
    const { accessKeyId } = bridge.endpoint()
    expect(bridge.records().length).to.be.greaterThan(6)
    const { requestParameters } = bridge.changes()[1] ?? expect.fail('no change is recorded')
    expect(requestParameters).to.deep.equal({ storeName: STORE, accessKeyId })
    expect(bridge.changes().map(({ eventName }) => eventName)).to.deep.equal([
      'DeclareExternalKeyStores', // at the start
      'AddExternalKeyStoreCredential', // by xks config-file
      'CreateExternalKey',
      'RotateExternalKey',
      'AddExternalKeyStoreCredential',
      'RemoveExternalKeyStoreCredential',
    ])
    expect(wholeOf('hsm-bridge.sqlite').includes(accessKeyId)).to.equal(true)
    expect(wholeOf('daemon.log').includes('"command":"xks key rotate"')).to.equal(true)
  })

  it('ARCH-D14: a change by the command line while no daemon runs is in the spool when it ends', async () => {
    await bridge.daemon.cli('xks', 'key', 'disable', `${STORE}/${KEY}`)
    expect(bridge.changes().at(-1)).to.include({ eventName: 'DisableExternalKey' })
  })
})

function filesBelow(...directories: readonly string[]): Haystack[] {
  return directories.flatMap((directory) =>
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name))
      .map((place) => ({ place, bytes: readFileSync(place) })),
  )
}
