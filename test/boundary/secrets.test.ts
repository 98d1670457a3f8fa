import { createHash, createHmac, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import aws4 from 'aws4'
import { expect } from 'chai'
import { DaemonUnderTest } from '../support/daemon-under-test.ts'
import { callKms } from '../support/kms-request.ts'
import { Canary } from './canary.ts'

const ACCESS_KEY_ID = 'AKIACANARYCANARY2345'
const CKR_DEVICE_ERROR = 0x30

type Body = Record<string, unknown>

/** Something that a secret could have got into. */
interface Haystack {
  readonly place: string
  readonly bytes: Buffer
}

describe('secrets on the host', () => {
  let daemon: DaemonUnderTest
  /** What no place may hold, the exceptions aside. */
  const canaries: Canary[] = []
  /** Answers and printed texts, as they came. */
  const heard: Haystack[] = []
  let found: { readonly running: Haystack[]; readonly files: Haystack[] }

  const secret = randomBytes(30).toString('base64')
  const plaintext = randomBytes(48)

  before(async function () {
    this.timeout(60_000)
    daemon = await DaemonUnderTest.prepare({
      faults: { record: true },
      config: { log: { level: 'debug' } },
    })
    canaries.push(
      new Canary('PIN', daemon.token.pin),
      new Canary('secret of the administrator', daemon.credentials.secretAccessKey),
      new Canary('secret of a principal', secret),
      new Canary('plaintext', plaintext),
    )
    await daemon.serve()
    await daemon.whole()
    await makePrincipal()
    await useKeys()
    await sendWrongSignatures()
    await provokeFailures()
    await administer()
    const running = lookAtProcesses()
    await daemon.terminate()
    found = { running, files: filesBelow(daemon.directory, daemon.token.dir) }
  })
  after(() => daemon.stop())

  const call = async (operation: string, body: Body): Promise<Body> => {
    const answer = await callKms<Body>(daemon.endpoint(), { operation, body })
    return answer
  }
  const hear = (place: string, text: string) => heard.push({ place, bytes: Buffer.from(text) })

  async function makePrincipal(): Promise<void> {
    const file = join(daemon.directory, 'secret-of-principal')
    writeFileSync(file, secret, { mode: 0o600 })
    const target = join(daemon.directory, 'credentials-of-principal')
    const who = ['--account', '123456789012', '--name', 'canary', '--access-key-id', ACCESS_KEY_ID]
    const files = ['--secret-from-file', file, '--credentials-file', target]
    hear('principal create', await daemon.cli('principal', 'create', ...who, ...files, '--json'))
  }

  let keyId: unknown
  let ciphertext: unknown

  async function useKeys(): Promise<void> {
    keyId = ((await call('CreateKey', {}))['KeyMetadata'] as Body)['KeyId']
    const Plaintext = plaintext.toString('base64')
    const encrypted = await call('Encrypt', { KeyId: keyId, Plaintext })
    ciphertext = encrypted['CiphertextBlob']
    expect((await call('Decrypt', { CiphertextBlob: ciphertext }))['Plaintext']).to.equal(Plaintext)
    const dataKey = await call('GenerateDataKey', { KeyId: keyId, KeySpec: 'AES_256' })
    canaries.push(new Canary('data key', Buffer.from(String(dataKey['Plaintext']), 'base64')))
    await call('RotateKeyOnDemand', { KeyId: keyId })
    await call('Decrypt', { CiphertextBlob: ciphertext })
  }

  /** Requests whose signature is off; what the right one would have been is a canary. */
  async function sendWrongSignatures(): Promise<void> {
    for (const credentials of [
      daemon.credentials,
      { accessKeyId: ACCESS_KEY_ID, secretAccessKey: secret },
    ])
      for (const place of ['first', 'last'] as const) {
        const { headers, body, right } = await signed(credentials)
        const spoiled = headers['Authorization']?.replace(right, spoil(right, place))
        const { text, status } = await post({ ...headers, Authorization: spoiled ?? '' }, body)
        expect(status).to.equal(400)
        expect(text).to.include('InvalidSignatureException')
        hear('answer to a wrong signature', text)
      }
  }

  async function signed(
    credentials: { readonly accessKeyId: string; readonly secretAccessKey: string },
    body = JSON.stringify({ KeyId: keyId, Plaintext: plaintext.toString('base64') }),
  ) {
    const { host } = new URL(daemon.kms)
    const headers = {
      Host: host,
      'Content-Type': 'application/x-amz-json-1.1',
      'X-Amz-Target': 'TrentService.Encrypt',
    }
    const wanted = {
      service: 'kms',
      region: daemon.region,
      method: 'POST',
      path: '/',
      headers,
      body,
    }
    const signer = new aws4.RequestSigner(wanted, credentials)
    const { headers: complete } = signer.sign()
    const right = signer.signature()
    const day = signer.getDate()
    const hmac = (key: string | Buffer, text: string) =>
      createHmac('sha256', key).update(text).digest()
    const dayKey = hmac(`AWS4${credentials.secretAccessKey}`, day)
    const regionKey = hmac(dayKey, daemon.region)
    const signingKey = hmac(hmac(regionKey, 'kms'), 'aws4_request')
    expect(hmac(signingKey, signer.stringToSign()).toString('hex')).to.equal(right)
    canaries.push(
      new Canary('expected signature', Buffer.from(right, 'hex')),
      new Canary('string to sign', signer.stringToSign()),
      new Canary('hash of the canonical request', sha256(signer.canonicalString())),
      new Canary('signing key', signingKey),
      new Canary('key of the day', dayKey),
      new Canary('key of the region', regionKey),
    )
    return { headers: complete as Record<string, string>, body, right }
  }

  async function provokeFailures(): Promise<void> {
    const Plaintext = plaintext.toString('base64')
    const tooLong = Buffer.concat([plaintext, Buffer.alloc(4096)]).toString('base64')
    const refused: readonly (readonly [string, Body])[] = [
      ['Encrypt', { KeyId: 'no such key', Plaintext }],
      ['Encrypt', { KeyId: keyId, Plaintext: tooLong }],
      ['Encrypt', { KeyId: keyId, Plaintext, EncryptionAlgorithm: 'RSAES_OAEP_SHA_1' }],
      ['Encrypt', { KeyId: keyId, Plaintext, DryRun: true }],
      ['Encrypt', { KeyId: keyId, Plaintext: `${Plaintext}!` }],
      ['Sign', { KeyId: keyId, Message: Plaintext, SigningAlgorithm: 'ECDSA_SHA_256' }],
      ['Decrypt', { CiphertextBlob: Plaintext }],
      ['Decrypt', { CiphertextBlob: ciphertext, EncryptionContext: { a: 'b' } }],
    ]
    for (const [operation, body] of refused) hear(operation, await refusal(operation, body))
    const broken = await signed(daemon.credentials, `{"Plaintext":"${Plaintext}"`)
    const { text } = await post(broken.headers, broken.body)
    expect(text).to.include('SerializationException')
    hear('answer to a broken body', text)
    // The token itself fails, on every lane and on the retry.
    for (const name of ['C_Encrypt', 'C_Decrypt']) {
      daemon.faults.rules([`${name} rv=${CKR_DEVICE_ERROR} count=4`])
      hear(`${name} fails`, await refusal('Encrypt', { KeyId: keyId, Plaintext }))
      hear(`${name} fails`, await refusal('Decrypt', { CiphertextBlob: ciphertext }))
    }
    daemon.faults.clear()
    await daemon.whole()
  }

  const refusal = (operation: string, body: Body): Promise<string> =>
    call(operation, body).then(
      () => 'no error',
      (error: Error) => `${error.name}: ${error.message}`,
    )

  async function administer(): Promise<void> {
    const commands = [
      ['key', 'list'],
      ['key', 'show', String(keyId)],
      ['key', 'where', String(keyId)],
      ['blob', 'inspect', String(ciphertext)],
      ['token', 'inspect'],
      ['reconcile'],
      ['doctor'],
    ]
    for (const command of commands) hear(command.join(' '), await daemon.cli(...command, '--json'))
    hear('key show', await daemon.cli('key', 'show', String(keyId)))
    hear('administration', await administration('key-show', { key: keyId }))
    hear('administration', await administration('principal-create', { account: secret }))
    hear('/metrics', await (await fetch(`${daemon.ops}/metrics`)).text())
    hear('/readyz', await (await fetch(`${daemon.ops}/readyz`)).text())
  }

  /** The socket itself, without the command line tool before it. */
  function administration(action: string, parameters: object): Promise<string> {
    return new Promise((resolve, reject) => {
      const socketPath = join(daemon.state, 'admin.sock')
      const asking = request({ socketPath, path: `/${action}`, method: 'POST' }, (answer) => {
        let text = ''
        answer.on('data', (chunk: Buffer) => {
          text += chunk.toString('utf8')
        })
        answer.on('end', () => resolve(text))
      })
      asking.on('error', reject)
      asking.end(JSON.stringify(parameters))
    })
  }

  async function post(headers: Record<string, string>, body: string) {
    const { Host: _, 'Content-Length': __, ...rest } = headers
    const answer = await fetch(daemon.kms, { method: 'POST', headers: rest, body })
    return { status: answer.status, text: await answer.text() }
  }

  function lookAtProcesses(): Haystack[] {
    const lanes = [...daemon.lanePids('hot'), ...daemon.lanePids('cold')]
    expect(lanes).to.have.length.of.at.least(4)
    return [daemon.pid, ...lanes].flatMap((pid) =>
      ['environ', 'cmdline'].map((name) => readWhole(`/proc/${pid}/${name}`)),
    )
  }

  const holding = (haystacks: readonly Haystack[], canary: Canary): string[] =>
    haystacks.filter(({ bytes }) => canary.isIn(bytes)).map(({ place }) => place)

  it('AT-K01, AT-S26: none stands in an answer, a metric, or what the command line prints', () => {
    expect(heard).to.have.length.of.at.least(25)
    for (const canary of canaries) expect(holding(heard, canary), canary.name).to.deep.equal([])
  })

  it('AT-K01: none stands in the environment or the arguments of a process', () => {
    expect(found.running.every(({ bytes }) => bytes.length > 0)).to.equal(true)
    for (const canary of canaries)
      expect(holding(found.running, canary), canary.name).to.deep.equal([])
  })

  it('AT-K01, AT-S26: files hold none, but those that are there to hold one', () => {
    const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
      PIN: [join(daemon.token.dir, 'pin')],
      'secret of the administrator': [join(daemon.state, 'aws-credentials')],
      'secret of a principal': [
        join(daemon.directory, 'secret-of-principal'),
        join(daemon.directory, 'credentials-of-principal'),
      ],
    }
    for (const canary of canaries)
      expect(holding(found.files, canary), canary.name).to.have.members([
        ...(EXCEPTIONS[canary.name] ?? []),
      ])
  })

  it('looks into log, audit spool and database, which tell of this very session', () => {
    const wholeOf = (part: string) =>
      Buffer.concat(found.files.filter(({ place }) => place.includes(part)).map((it) => it.bytes))
    expect(wholeOf('/state/audit/').includes(String(keyId))).to.equal(true)
    expect(wholeOf('hsm-bridge.sqlite').includes(String(keyId))).to.equal(true)
    expect(wholeOf('daemon.log').includes('CKR_DEVICE_ERROR')).to.equal(true)
    expect(wholeOf('daemon.log').includes('"command":"key show"')).to.equal(true)
  })
})

function readWhole(place: string): Haystack {
  return { place, bytes: readFileSync(place) }
}

function filesBelow(...directories: readonly string[]): Haystack[] {
  return directories.flatMap((directory) =>
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => readWhole(join(parentPath, name))),
  )
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** The same signature, with one digit changed. */
function spoil(signature: string, place: 'first' | 'last'): string {
  const other = (digit: string) => (digit === '0' ? '1' : '0')
  return place === 'first'
    ? other(signature.charAt(0)) + signature.slice(1)
    : signature.slice(0, -1) + other(signature.slice(-1))
}
