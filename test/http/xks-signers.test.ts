import { type IncomingMessage, request as sendHttp } from 'node:http'
import { text as readText } from 'node:stream/consumers'
import aws4 from 'aws4'
import { expect } from 'chai'
import { Sensitive } from '../../src/bytes/sensitive.ts'
import { signRequest } from '../../src/sigv4/sign-request.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import {
  accessKeyIdOf,
  CALLS,
  REGION,
  secretOf,
  STORES,
  type StoreName,
  targetOf,
  XksFaceUnderTest,
} from './xks-face-under-test.ts'

const REQUESTS = 200

interface Plain {
  readonly path: string
  readonly body: Buffer
  readonly store: StoreName
}

describe('other people’s signers at the XKS face', () => {
  let face: XksFaceUnderTest
  beforeEach(async () => {
    face = await new XksFaceUnderTest().start()
  })
  afterEach(() => face.stop())

  const signers = {
    smithy: ({ path, body, store }: Plain) =>
      signRequest(
        {
          method: 'POST',
          url: new URL(`http://127.0.0.1:${face.port}${path}`),
          headers: { 'content-type': 'application/json' },
          body,
        },
        {
          accessKeyId: accessKeyIdOf(store),
          secretAccessKey: new Sensitive(secretOf(store)),
          region: REGION,
          service: 'kms-xks-proxy',
        },
        face.nowMs,
      ),
    aws4: async ({ path, body, store }: Plain) => {
      const options = {
        method: 'POST',
        path,
        service: 'kms-xks-proxy',
        region: REGION,
        headers: {
          Host: `127.0.0.1:${face.port}`,
          'Content-Type': 'application/json',
          'X-Amz-Date': '20150830T123600Z',
        },
        body: body as unknown as string, // its types say string; the code hashes either
      }
      const credentials = {
        accessKeyId: accessKeyIdOf(store),
        secretAccessKey: secretOf(store),
      }
      return aws4.sign(options, credentials).headers as Record<string, string>
    },
  }

  for (const [name, sign] of Object.entries(signers)) {
    it(`AT-S31: takes ${REQUESTS} random requests of ${name} and none with one bit changed`, async () => {
      const random = new SeededRandom(20261122)
      for (let i = 0; i < REQUESTS; i++) {
        const plain = randomRequest(random)
        const headers = await sign(plain)
        expect(await statusOf(plain.path, headers, plain.body)).to.equal(200)
        const at = Math.floor(random.between(0, plain.body.length))
        plain.body[at] = (plain.body[at] ?? 0) ^ (1 << Math.floor(random.between(0, 8)))
        expect(await statusOf(plain.path, headers, plain.body)).to.equal(401)
      }
      expect(face.requests).to.have.lengthOf(REQUESTS)
    })
  }

  function randomRequest(random: SeededRandom): Plain {
    const store = random.pick(Object.keys(STORES) as StoreName[])
    const characters = Array.from('abcXYZ019._-')
    const length = Math.floor(random.between(1, 40))
    const id = Array.from({ length }, () => random.pick(characters)).join('')
    const body = Buffer.alloc(Math.floor(random.between(1, 5_000)))
    for (const i of body.keys()) body[i] = Math.floor(random.between(0, 256))
    return { path: targetOf(random.pick(CALLS), store, `k${id}`), body, store }
  }

  async function statusOf(path: string, headers: Record<string, string>, body: Buffer) {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const options = { host: '127.0.0.1', port: face.port, path, method: 'POST', headers }
      sendHttp(options, resolve).on('error', reject).end(body)
    })
    await readText(response)
    return response.statusCode
  }
})
