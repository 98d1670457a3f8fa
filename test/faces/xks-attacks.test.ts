import { createHash, randomBytes } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync } from 'node:fs'
import { request as sendHttps } from 'node:https'
import { join } from 'node:path'
import { text as readText } from 'node:stream/consumers'
import { expect } from 'chai'
import {
  blobHeader,
  parseCiphertextBlob,
  writeCiphertextBlob,
} from '../../src/kms/ciphertext-blob.ts'
import { credentialFor } from '../support/describe-xks-changes.ts'
import { KmsClient, outcomeOf } from '../support/kms-client.ts'
import { callKms } from '../support/kms-request.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { OTHER_PREFIX, OTHER_STORE, STORE, XksDaemonUnderTest } from '../support/xks-daemon.ts'
import {
  decryptCall,
  encryptCall,
  type XksAnswer,
  type XksCall,
  type XksEndpoint,
} from '../support/xks-request.ts'

const PLAINTEXT = Buffer.from('a secret')
const BOTH = ['ENCRYPT', 'DECRYPT']
const RANDOM_SIZES = 40
const MOVED_PREFIX = '/elsewhere'
/** What a backup has of a state directory. */
const STATE = [
  'hsm-bridge.sqlite',
  'hsm-bridge.sqlite-wal',
  'hsm-bridge.sqlite-shm',
  'host.key',
  'aws-credentials',
]
const INVALID_CIPHERTEXT = [400, 'InvalidCiphertextException']

/** What a ciphertext of one kind, or an oracle of one port, is worth at another. The API has no lists: AT-J11 has no object here. */
describe('attacks on the XKS face of a daemon that serves AWS KMS calls too', () => {
  let xks: XksDaemonUnderTest
  let other: XksEndpoint
  let kms: KmsClient
  let sealed: XksAnswer['body']
  /** Full id of the material behind the key `one`. */
  let materialId: string
  const random = new SeededRandom()

  before(async () => {
    xks = await XksDaemonUnderTest.start({ otherStore: true })
    other = {
      ...(await credentialFor(xks, OTHER_STORE, xks.endpoint())),
      uriPathPrefix: OTHER_PREFIX,
    }
    for (const name of [`${STORE}/one`, `${STORE}/two`, `${OTHER_STORE}/one`])
      await xks.administer('xks key create', { name, keyUsage: BOTH })
    kms = new KmsClient(xks.daemon.endpoint())
    sealed = (await xks.call(encryptCall('one', PLAINTEXT))).body
    const keys = await xks.administer<readonly { name?: string; currentMaterialId: string }[]>(
      'xks key list',
      { store: STORE },
    )
    materialId = keys[0]?.currentMaterialId ?? ''
  })
  after(() => xks?.stop())

  const answerOf = async (call: XksCall, endpoint?: XksEndpoint) => {
    const { status, body } = await xks.call(call, endpoint)
    return [status, body.errorName]
  }

  it('AT-C03, AT-C10: a ciphertext opens at its own key, not at another of the store, nor at one of the same name elsewhere', async () => {
    expect(await answerOf(decryptCall('two', sealed))).to.deep.equal(INVALID_CIPHERTEXT)
    expect(await answerOf(decryptCall('one', sealed), other)).to.deep.equal(INVALID_CIPHERTEXT)
    expect(await answerOf(decryptCall('one', sealed))).to.deep.equal([200, undefined])
  })

  describe('AT-C11: a ciphertext of AWS KMS calls at an external key', () => {
    let blob: ReturnType<typeof parseCiphertextBlob>

    before(async () => {
      blob = parseCiphertextBlob(
        Buffer.from(await kms.encrypt(await kms.createKey(), PLAINTEXT), 'base64'),
      )
    })

    const openingOf = (ciphertextMetadata: string | undefined) => {
      const { iv, ciphertext } = blob.sealed
      const parts = {
        ciphertext: ciphertext.subarray(0, -16).toString('base64'),
        authenticationTag: ciphertext.subarray(-16).toString('base64'),
        initializationVector: iv.toString('base64'),
      }
      return decryptCall('one', { ...parts, ciphertextMetadata }, Buffer.from(blob.header))
    }

    it('is bad without metadata', async () => {
      expect(await answerOf(openingOf(undefined))).to.deep.equal(INVALID_CIPHERTEXT)
    })

    it('is bad with metadata that names its material', async () => {
      const metadata = `01${blob.materialId.slice(0, 32)}`
      const call = openingOf(Buffer.from(metadata, 'hex').toString('base64'))
      expect(await answerOf(call)).to.deep.equal(INVALID_CIPHERTEXT)
      expect(xks.records().at(-1)?.additionalEventData).to.not.have.property('keyMaterialId')
    })

    it('is bad with metadata that names material of the external key', async () => {
      const call = openingOf(String(sealed['ciphertextMetadata']))
      expect(await answerOf(call)).to.deep.equal(INVALID_CIPHERTEXT)
    })
  })

  describe('AT-C11: a ciphertext of an external key in AWS KMS calls', () => {
    const bytes = (name: string) => Buffer.from(String(sealed[name]), 'base64')
    const ciphertext = () => Buffer.concat([bytes('ciphertext'), bytes('authenticationTag')])

    it('is bad in whatever order its parts stand', async () => {
      const [iv, metadata] = [bytes('initializationVector'), bytes('ciphertextMetadata')]
      for (const parts of [[iv], [metadata, iv], [iv, metadata], []]) {
        const blob = Buffer.concat([...parts, ciphertext()])
        expect(await outcomeOf(kms.decrypt(blob.toString('base64')))).to.equal(
          'InvalidCiphertextException',
        )
      }
    })

    it('is, under a header that names its material, one of a key that does not exist (KMS-37)', async () => {
      const iv = bytes('initializationVector')
      const refusals = []
      for (const named of [materialId, randomBytes(32).toString('hex')]) {
        const material = { materialId: named, scheme: 'AES_GCM', objects: [], proof: iv } as const
        const blob = writeCiphertextBlob(blobHeader(material, iv.length), {
          iv,
          ciphertext: ciphertext(),
        })
        const error = await kms.decrypt(blob.toString('base64')).catch((it: Error) => it)
        refusals.push(error instanceof Error && [error.name, error.message])
      }
      expect(refusals[0]).to.include('AccessDeniedException').and.deep.equal(refusals[1])
    })

    it('has a key that AWS KMS calls know by none of its names', async () => {
      const [key] = await xks.administer<readonly { arn: string }[]>('xks key list', {
        store: STORE,
      })
      const arn = key?.arn ?? ''
      const keyId = arn.split('/')[1] ?? ''
      for (const KeyId of [keyId, `arn:aws:kms:eu-west-1:123456789012:key/${keyId}`])
        expect(await outcomeOf(kms.encrypt(KeyId, PLAINTEXT))).to.equal('NotFoundException')
      expect(await outcomeOf(kms.encrypt(arn, PLAINTEXT))).to.equal('NotFoundException')
      const { Keys } = await callKms<{ Keys: { KeyId: string }[] }>(xks.daemon.endpoint(), {
        operation: 'ListKeys',
        body: {},
      })
      expect(Keys.map((it) => it.KeyId)).to.not.include(keyId)
    })
  })

  it(`AT-C13, XKS E-14: the CDIV is right for ${RANDOM_SIZES} random sizes (seed ${random.seed})`, async () => {
    const some = (most: number) => Buffer.alloc(Math.floor(random.between(0, most)), random.next())
    for (let i = 0; i < RANDOM_SIZES; i++) {
      const [plaintext, aad] = [Buffer.concat([Buffer.from('x'), some(4300)]), some(8193)]
      const { body } = await xks.call(encryptCall('one', plaintext, aad))
      const hash = createHash('sha256').update(aad)
      for (const name of [
        'ciphertextMetadata',
        'initializationVector',
        'ciphertext',
        'authenticationTag',
      ])
        hash.update(Buffer.from(String(body[name]), 'base64'))
      expect(body['ciphertextDataIntegrityValue']).to.equal(hash.digest('base64'))
    }
  })

  describe('AT-C14', () => {
    it('AAD of 65,535 bytes is encrypted with, and opens, and is not the empty one', async () => {
      const aad = Buffer.alloc(65_535, 1)
      const made = (await xks.call(encryptCall('one', PLAINTEXT, aad))).body
      const opened = await xks.call(decryptCall('one', made, aad))
      expect(opened.body).to.deep.equal({ plaintext: PLAINTEXT.toString('base64') })
      for (const shorter of [Buffer.alloc(0), aad.subarray(1)])
        expect(await answerOf(decryptCall('one', made, shorter))).to.deep.equal(INVALID_CIPHERTEXT)
    })

    // In Base64 it is longer than any body that we read: step 5 of the order of errors comes first.
    for (const [bytes, expected] of [
      [65_536, [501, 'UnsupportedOperationException']],
      [131_072, [413, 'ValidationException']],
    ] as const)
      it(`AAD of ${bytes} bytes is refused by Encrypt and by Decrypt, and the next request is served`, async () => {
        const aad = Buffer.alloc(bytes, 1)
        const empty = (await xks.call(encryptCall('one', PLAINTEXT, Buffer.alloc(0)))).body
        expect(await answerOf(encryptCall('one', PLAINTEXT, aad))).to.deep.equal(expected)
        expect(await answerOf(decryptCall('one', empty, aad))).to.deep.equal(expected)
        expect(await answerOf(decryptCall('one', sealed))).to.deep.equal([200, undefined])
      })
  })

  it('AT-J10: AADs that look the same are two; the order of members is none', async () => {
    const [composed, decomposed] = ['caf\u00e9', 'cafe\u0301'].map((it) => Buffer.from(it))
    const made = (await xks.call(encryptCall('one', PLAINTEXT, composed))).body
    expect(await answerOf(decryptCall('one', made, decomposed))).to.deep.equal(INVALID_CIPHERTEXT)
    const { path, body } = decryptCall('one', made, composed)
    const reversed = { path, body: Object.fromEntries(Object.entries(body).toReversed()) }
    expect(await answerOf(reversed)).to.deep.equal([200, undefined])
  })

  describe('AT-H16', () => {
    const ELSEWHERE = ['/metrics', '/livez', '/readyz', '/', '/xks-key-list', '/reload']
    for (const path of ELSEWHERE)
      it(`${path} is no path of this listener, by whatever method`, async () => {
        for (const method of ['GET', 'POST']) {
          const { status, type, text } = await ask(method, path)
          expect([status, type]).to.deep.equal([404, 'application/json'])
          expect(JSON.parse(text)).to.include({ errorName: 'InvalidUriPathException' })
        }
      })

    it('nor are they where AWS KMS calls are taken, and the ops port has nothing else', async () => {
      for (const path of ['/metrics', '/livez', '/readyz', '/reload'])
        expect(await (await fetch(`${xks.daemon.kms}${path}`)).text()).to.not.match(
          /live|ready|hsm_/,
        )
      for (const path of ['/reload', '/xks-key-list', '/prefix/kms/xks/v1/health'])
        for (const method of ['GET', 'POST'])
          expect((await fetch(`${xks.daemon.ops}${path}`, { method })).status).to.equal(404)
    })
  })

  describe('afterwards', () => {
    it('AT-C10: a daemon that was restored opens it at its key under whatever prefix and Region, and at no other key', async () => {
      await xks.daemon.terminate()
      const stateFrom = join(xks.daemon.directory, 'backup')
      mkdirSync(stateFrom)
      for (const name of STATE)
        if (existsSync(join(xks.daemon.state, name)))
          copyFileSync(join(xks.daemon.state, name), join(stateFrom, name))
      const region = 'us-east-1'
      const stores = [{ name: STORE, uriPathPrefix: MOVED_PREFIX, regions: [region] }]
      const { token } = xks.daemon
      const restored = await XksDaemonUnderTest.start({ token, stateFrom, region, xks: { stores } })
      try {
        const moved = { ...restored.endpoint(), uriPathPrefix: MOVED_PREFIX }
        const { body } = await restored.call(decryptCall('one', sealed), moved)
        expect(body).to.deep.equal({ plaintext: PLAINTEXT.toString('base64') })
        const refused = await restored.call(decryptCall('two', sealed), moved)
        expect([refused.status, refused.body.errorName]).to.deep.equal(INVALID_CIPHERTEXT)
      } finally {
        await restored.stop()
      }
    })
  })

  async function ask(method: string, path: string) {
    const { host, port, ca } = xks.endpoint()
    const options = { host, port, ca, servername: 'localhost', method, path, agent: false } as const
    return await new Promise<{ status: unknown; type: unknown; text: string }>(
      (resolve, reject) => {
        const request = sendHttps(options, (response) => {
          const { statusCode: status, headers } = response
          void readText(response).then((text) =>
            resolve({ status, type: headers['content-type'], text }),
          )
        })
        request.on('error', reject).end()
      },
    )
  }
})
