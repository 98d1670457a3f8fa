import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import {
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  ListKeysCommand,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms'
import { expect } from 'chai'
import { KmsError } from '../../src/kms/kms-error.ts'
import { FaceUnderTest, KEY_ARN, PRINCIPAL, parseAnswer, REGION } from './face-under-test.ts'

describe('KMS face', () => {
  let face: FaceUnderTest

  beforeEach(async () => {
    face = await new FaceUnderTest().start()
  })
  afterEach(() => face.stop())

  describe('with AWS’s own client', () => {
    it('hands a decoded request to kms and gives its reply back', async () => {
      face.perform = async () => ({
        ciphertextBlob: Buffer.from('blob'),
        keyId: KEY_ARN,
        encryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      })
      let given: unknown
      const perform = face.perform
      face.perform = async (request) => {
        given = structuredClone(request.input)
        return perform(request)
      }
      const reply = await face.client().send(
        new EncryptCommand({
          KeyId: KEY_ARN,
          Plaintext: Buffer.from('hello'),
          EncryptionContext: { AppName: 'x', ÄÖÜ: '' },
        }),
      )
      expect(given).to.deep.equal({
        keyId: KEY_ARN,
        plaintext: new Uint8Array(Buffer.from('hello')),
        encryptionContext: { AppName: 'x', ÄÖÜ: '' },
      })
      expect(Buffer.from(reply.CiphertextBlob as Uint8Array).toString()).to.equal('blob')
      expect(reply).to.include({ KeyId: KEY_ARN, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' })
    })

    it('says who called, for which region, from where', async () => {
      await face.client({ region: 'us-west-2' }).send(new ListKeysCommand({}))
      const { caller, facts, operation } = face.requests[0] ?? expect.fail('no request')
      expect(operation).to.equal('ListKeys')
      expect(caller).to.deep.equal({
        accountId: PRINCIPAL.accountId,
        arn: PRINCIPAL.arn,
        userName: 'alice',
        userId: 'AIDAALICE',
        accessKeyId: 'AKIDALICE',
        identityPolicies: [],
        region: 'us-west-2',
      })
      expect(caller).not.to.have.property('secretAccessKey')
      expect(facts).to.include({ sourceIp: '127.0.0.1', secureTransport: false })
      expect(facts.userAgent).to.match(/aws-sdk-js/)
      expect(facts.receivedAt).to.be.closeTo(Date.now(), 5_000)
    })

    it('gives the request id of the answer, the facts and the record as one', async () => {
      face.perform = async () => ({ keys: [], truncated: false })
      const reply = await face.client().send(new ListKeysCommand({}))
      expect(reply.Keys).to.deep.equal([])
      expect(reply.$metadata.requestId).to.equal(face.requests[0]?.facts.requestId)
      expect(reply.$metadata.requestId).to.equal(face.records[0]?.facts.requestId)
    })

    it('KMS-5: answers an operation without output with an empty body', async () => {
      face.perform = async () => undefined
      const reply = await face.client().send(new DisableKeyCommand({ KeyId: KEY_ARN }))
      expect(reply.$metadata.httpStatusCode).to.equal(200)
      const answer = await face.call('DisableKey', JSON.stringify({ KeyId: KEY_ARN }))
      expect(answer.text).to.equal('')
    })

    it('gives times and nested metadata as the client expects them', async () => {
      const creationDate = new Date(1700000000123)
      face.perform = async () => ({ keyMetadata: { keyId: 'k', creationDate, enabled: true } })
      const { KeyMetadata } = await face.client().send(new CreateKeyCommand({}))
      expect(KeyMetadata).to.deep.equal({ KeyId: 'k', CreationDate: creationDate, Enabled: true })
    })

    for (const [code, status] of [
      ['NotFoundException', 400],
      ['DisabledException', 400],
      ['KMSInvalidStateException', 400],
      ['IncorrectKeyException', 400],
      ['KeyUnavailableException', 500],
    ] as const) {
      it(`throws ${code} with its message, status ${status}`, async () => {
        face.perform = async () => {
          throw new KmsError(code, 'the text')
        }
        const error = await failure(
          face.client({ maxAttempts: 1 }).send(new DescribeKeyCommand({ KeyId: 'k' })),
        )
        expect(error).to.include({ name: code, message: 'the text' })
        expect(error.$metadata?.httpStatusCode).to.equal(status)
        expect(error.$metadata?.requestId).to.equal(face.requests[0]?.facts.requestId)
      })
    }

    it('throws ValidationException before kms is asked', async () => {
      const send = face.client().send(new ScheduleKeyDeletionCommand({ KeyId: '' }))
      expect(await failure(send)).to.include({
        name: 'ValidationException',
        message:
          "1 validation error detected: Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1",
      })
      expect(face.requests).to.deep.equal([])
      expect(face.records[0]?.error?.code).to.equal('ValidationException')
    })

    for (const minutes of [20, -20, 24 * 60]) {
      it(`lets a client whose clock is ${minutes} minutes off correct itself`, async () => {
        face.clockOffsetMs = minutes * 60_000
        const client = face.client()
        const { $metadata } = await client.send(new ListKeysCommand({}))
        expect($metadata.attempts).to.equal(2)
        expect(client.config.systemClockOffset).to.be.closeTo(face.clockOffsetMs, 2_000)
        expect(face.observed).to.deep.equal(['none InvalidSignatureException', 'ListKeys ok'])
        const again = await client.send(new ListKeysCommand({}))
        expect(again.$metadata.attempts).to.equal(1)
      })
    }

    it('keeps a connection for the next request', async () => {
      let connections = 0
      face.server.on('connection', () => connections++)
      const client = face.client()
      for (let i = 0; i < 3; i++) await client.send(new ListKeysCommand({}))
      expect(connections).to.equal(1)
    })
  })

  describe('authentication', () => {
    const wrongClock = async (minutes: number) => {
      face.clockOffsetMs = minutes * 60_000
      return face.call('ListKeys', '{}')
    }
    const stamp = String.raw`\d{8}T\d{6}Z`
    const cases = [
      {
        what: 'no signature',
        type: 'MissingAuthenticationTokenException',
        message: /^Missing Authentication Token$/,
        send: () => face.send('POST', '/', { 'X-Amz-Target': 'TrentService.ListKeys' }, '{}'),
      },
      {
        what: 'a signature without its parts',
        type: 'IncompleteSignatureException',
        message: /Authorization header requires/,
        send: () =>
          face.send('POST', '/', { Authorization: 'AWS4-HMAC-SHA256 Credential=x' }, '{}'),
      },
      {
        what: 'an unknown access key',
        type: 'UnrecognizedClientException',
        message: /^The security token included in the request is invalid\.$/,
        send: () => face.call('ListKeys', '{}', { accessKeyId: 'AKIDNOBODY' }),
      },
      {
        what: 'a wrong secret',
        type: 'InvalidSignatureException',
        message: /^The request signature we calculated does not match the signature you provided\./,
        send: () => face.call('ListKeys', '{}', { secret: 'wrong' }),
      },
      {
        what: 'an expired signature',
        type: 'InvalidSignatureException',
        message: new RegExp(
          String.raw`^Signature expired: ${stamp} is now earlier than ${stamp} \(${stamp} - 5 min\.\)$`,
        ),
        send: () => wrongClock(6),
      },
      {
        what: 'a signature of the future',
        type: 'InvalidSignatureException',
        message: new RegExp(
          String.raw`^Signature not yet current: ${stamp} is still later than ${stamp} \(${stamp} \+ 5 min\.\)$`,
        ),
        send: () => wrongClock(-6),
      },
    ]

    for (const { what, type, message, send } of cases) {
      it(`KMS-1: refuses ${what} as ${type}, status 400`, async () => {
        const answer = await send()
        expect(answer.status).to.equal(400)
        const body = parseAnswer(answer) as Record<string, string>
        expect(Object.keys(body)).to.deep.equal(['__type', 'message'])
        expect(body['__type']).to.equal(type)
        expect(body['message']).to.match(message)
        expect(face.requests).to.deep.equal([])
        expect(face.records).to.deep.equal([])
        expect(face.observed).to.deep.equal([`none ${type}`])
      })
    }

    it('comes before the target and the body: a stranger learns nothing of them', async () => {
      const answers = [
        await face.call('NoSuchOperation', '{}', { secret: 'wrong' }),
        await face.call('Encrypt', 'not json', { secret: 'wrong' }),
        await face.call('Encrypt', '{}', { secret: 'wrong' }),
      ]
      for (const answer of answers) {
        expect(parseAnswer(answer)).to.include({ __type: 'InvalidSignatureException' })
      }
    })

    it('refuses a body that was changed on the way', async () => {
      const signed = await face.call('ListKeys', '{"Limit":1}')
      expect(signed.status).to.equal(200)
      const headers = await signedHeaders(face, '{"Limit":1}')
      const answer = await face.send('POST', '/', headers, '{"Limit":2}')
      expect(parseAnswer(answer)).to.include({ __type: 'InvalidSignatureException' })
    })

    it('does not serve a region that is not configured', async () => {
      const narrow = await new FaceUnderTest({ regions: (region) => region !== REGION }).start()
      try {
        expect(parseAnswer(await narrow.call('ListKeys', '{}'))).to.deep.equal({
          __type: 'InvalidSignatureException',
          message: 'Credential should be scoped to a valid region.',
        })
      } finally {
        await narrow.stop()
      }
    })
  })

  describe('targets and bodies', () => {
    for (const target of ['NoSuchOperation', 'constructor', '__proto__', '', 'encrypt']) {
      it(`answers UnknownOperationException to TrentService.${target}`, async () => {
        const answer = await face.call(target, '{}')
        expect(answer.status).to.equal(400)
        expect(parseAnswer(answer)).to.deep.equal({ __type: 'UnknownOperationException' })
        expect(face.observed).to.deep.equal(['none UnknownOperationException'])
      })
    }

    it('answers UnknownOperationException to another protocol’s content type', async () => {
      const headers = { 'Content-Type': 'application/x-www-form-urlencoded' }
      const answer = await face.call('ListKeys', '{}', { headers })
      expect(parseAnswer(answer)).to.deep.equal({ __type: 'UnknownOperationException' })
    })

    it('takes a content type with parameters', async () => {
      const headers = { 'Content-Type': 'application/x-amz-json-1.1; charset=utf-8' }
      expect((await face.call('ListKeys', '{}', { headers })).status).to.equal(200)
    })

    for (const [what, body, expected] of [
      ['no JSON', '{"KeyId"', {}],
      ['no body', '', {}],
      ['AT-J01: a member twice', '{"KeyId":"a","KeyId":"b"}', {}],
      ['a list', '[]', { Message: 'Start of list found where not expected' }],
      ['a number', '{"KeyId":1}', { Message: 'NUMBER_VALUE can not be converted to a String' }],
      ['AT-J03: depth', `{"KeyId":${'['.repeat(100_000)}`, {}],
      ['AT-H06: gzip', Buffer.from('1f8b0800000000000003', 'hex'), {}],
    ] as const) {
      it(`refuses ${what} as SerializationException`, async () => {
        const answer = await face.call('DescribeKey', body)
        expect(answer.status).to.equal(400)
        expect(parseAnswer(answer)).to.deep.equal({ __type: 'SerializationException', ...expected })
        expect(face.requests).to.deep.equal([])
      })
    }

    it('takes the largest legal policy', async () => {
      const Policy = JSON.stringify('é'.repeat(131_072)).replaceAll('é', '\\u00e9')
      const answer = await face.call('CreateKey', `{"Policy":${Policy}}`)
      expect(answer.status).to.equal(200)
      expect(face.requests[0]?.input['policy']).to.have.lengthOf(131_072)
    })

    it('AT-H18: throttles what the bodies of strangers leave no memory for', async () => {
      const small = await new FaceUnderTest({ unauthenticatedBytes: 100_000 }).start()
      const stranger = connect(small.port, '127.0.0.1')
      try {
        stranger.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n')
        stranger.write('x'.repeat(90_000))
        const call = (bytes: number) => small.call('Encrypt', Buffer.alloc(bytes, ' '))
        while ((await call(20_000)).text.includes('Throttling') === false) await pause(5)
        const answer = await call(20_000)
        expect(answer.status).to.equal(400)
        expect(parseAnswer(answer)).to.include({ __type: 'ThrottlingException' })
        expect((await small.call('ListKeys', '{}')).status).to.equal(200)
        stranger.destroy()
        while ((await call(20_000)).text.includes('Throttling')) await pause(5)
      } finally {
        stranger.destroy()
        await small.stop()
      }
    })

    for (const bytes of [1024 * 1024 + 1, 3 * 1024 * 1024]) {
      it(`AT-H04: answers 413 to a body of ${bytes} bytes`, async () => {
        const answer = await face.call('ListKeys', ' '.repeat(bytes))
        expect(answer.status).to.equal(413)
        expect(parseAnswer(answer)).to.deep.equal({ __type: 'RequestEntityTooLargeException' })
        expect(answer.headers.get('connection')).to.equal('close')
      })
    }
  })

  describe('paths and methods', () => {
    for (const [method, path, status] of [
      ['GET', '/', 405],
      ['PUT', '/', 405],
      ['DELETE', '/?a=b', 405],
      ['OPTIONS', '/', 405],
      ['POST', '/kms', 404],
      ['GET', '/..%2f', 404],
      ['GET', '/%zz', 404],
      ['POST', '//', 404],
    ] as const) {
      it(`answers ${status} in JSON to ${method} ${path}`, async () => {
        const answer = await face.send(method, path, {})
        expect(answer.status).to.equal(status)
        expect(parseAnswer(answer)).to.deep.equal({ __type: 'UnknownOperationException' })
        expect(answer.headers.get('allow')).to.equal(status === 405 ? 'POST' : null)
        expect(answer.headers.get('x-powered-by')).to.equal(null)
      })
    }

    it('answers HEAD with the headers alone', async () => {
      const answer = await face.send('HEAD', '/', {})
      expect(answer).to.include({ status: 405, text: '' })
    })

    it('AT-S17: refuses a presigned URL', async () => {
      const answer = await face.send('POST', '/?X-Amz-Signature=x&X-Amz-Credential=y', {}, '{}')
      expect(parseAnswer(answer)).to.include({ __type: 'MissingAuthenticationTokenException' })
    })

    it('ARCH-D19: serves a signed query through express as it serves the hot route', async () => {
      face.perform = async () => ({ keys: [] })
      const answer = await face.call('ListKeys', '{}', { path: '/?a=b' })
      expect(answer).to.include({ status: 200, text: '{"Keys":[]}' })
    })
  })

  describe('audit', () => {
    it('ARCH-D14: writes the record before it answers', async () => {
      let release = (): void => undefined
      const recorded = new Promise<void>((resolve) => {
        face.record = () => {
          resolve()
          return new Promise((done) => {
            release = done
          })
        }
      })
      let answered = false
      const answer = face.call('ListKeys', '{}').then((reply) => {
        answered = true
        return reply
      })
      await recorded
      await new Promise(setImmediate)
      expect(answered).to.equal(false)
      release()
      expect((await answer).status).to.equal(200)
    })

    it('ARCH-D14: gives nothing of the reply when the record cannot be written', async () => {
      face.perform = async () => ({ plaintext: Buffer.from('the data key') })
      face.record = () => Promise.reject(new Error('spool is full'))
      const answer = await face.call('Decrypt', JSON.stringify({ CiphertextBlob: 'QQ==' }))
      expect(answer.status).to.equal(500)
      expect(parseAnswer(answer)).to.include({ __type: 'KMSInternalException' })
      expect(answer.text).not.to.contain('spool')
      expect(answer.text).not.to.contain(Buffer.from('the data key').toString('base64'))
    })

    it('ARCH-D14: when the record of a failure fails too, the log has both', async () => {
      const [cause, recordError] = [new TypeError('row 17 is odd'), new Error('spool is full')]
      face.perform = () => Promise.reject(cause)
      face.record = () => Promise.reject(recordError)
      expect((await face.call('ListKeys', '{}')).status).to.equal(500)
      expect(face.logged[0]).to.include({ error: cause, recordError })
    })

    it('FM-F48: is not idle before the record of a client that has gone is written', async () => {
      let finish = (): void => undefined
      const began = new Promise<void>((resolve) => {
        face.perform = () => {
          resolve()
          return new Promise((done) => {
            finish = () => done({})
          })
        }
      })
      const abandoned = face.call('ListKeys', '{}').catch(() => undefined)
      await began
      face.server.closeAllConnections()
      await abandoned
      const idle = face.idle()
      expect(face.records).to.have.length(0)
      finish()
      await idle
      expect(face.records).to.have.length(1)
    })

    it('records what the operation left in the trail, also when it throws', async () => {
      face.perform = async ({ trail }) => {
        trail.resources.push(KEY_ARN)
        trail.readOnly = true
        throw new KmsError('AccessDeniedException', 'no')
      }
      const answer = await face.call('DescribeKey', JSON.stringify({ KeyId: KEY_ARN }))
      expect(parseAnswer(answer)).to.deep.equal({ __type: 'AccessDeniedException', Message: 'no' })
      expect(face.records).to.have.lengthOf(1)
      const [record] = face.records
      expect(record?.trail).to.deep.include({ resources: [KEY_ARN], readOnly: true })
      expect(record?.error).to.deep.equal({ code: 'AccessDeniedException', message: 'no' })
      expect(record).to.include({ operation: 'DescribeKey' })
    })
  })

  describe('secrets', () => {
    it('ARCH-D6: wipes the plaintexts of request and reply once the answer is made', async () => {
      const kept: Uint8Array[] = []
      face.perform = async ({ input }) => {
        kept.push(input['plaintext'] as Uint8Array)
        return { ciphertextBlob: Buffer.from('blob') }
      }
      await face.client().send(new EncryptCommand({ KeyId: 'k', Plaintext: Buffer.from('in') }))
      face.perform = async () => {
        kept.push(Buffer.from('out'))
        return { plaintext: kept[1], ciphertextBlob: Buffer.from('blob') }
      }
      const { Plaintext } = await face
        .client()
        .send(new GenerateDataKeyCommand({ KeyId: 'k', KeySpec: 'AES_256' }))
      expect(Buffer.from(Plaintext as Uint8Array).toString()).to.equal('out')
      expect(kept.map((bytes) => [...bytes])).to.deep.equal([
        [0, 0],
        [0, 0, 0],
      ])
    })

    it('ARCH-D6: wipes the body that carried a plaintext', async () => {
      const kept: Buffer[] = []
      face.server.on('request', (request: IncomingMessage) =>
        request.on('data', (chunk: Buffer) => kept.push(chunk)),
      )
      await face.client().send(new EncryptCommand({ KeyId: 'k', Plaintext: Buffer.from('in') }))
      const bytes = Buffer.concat(kept)
      expect(bytes.length).to.be.greaterThan(0)
      expect(bytes.equals(Buffer.alloc(bytes.length))).to.equal(true)
    })

    it('tells the caller nothing of an unforeseen error, and the operator everything but the request', async () => {
      const cause = new TypeError('row 17 is odd')
      face.perform = () => Promise.reject(cause)
      const ciphertext = Buffer.from('the ciphertext')
      const error = await failure(
        face.client({ maxAttempts: 1 }).send(new DecryptCommand({ CiphertextBlob: ciphertext })),
      )
      expect(error.name).to.equal('KMSInternalException')
      expect(error.message).to.equal(
        `An internal failure occurred. Request ID: ${error.$metadata?.requestId}`,
      )
      expect(face.logged).to.deep.equal([
        {
          message: 'request failed',
          requestId: error.$metadata?.requestId,
          operation: 'Decrypt',
          code: 'KMSInternalException',
          error: cause,
          keptBack: 0,
        },
      ])
    })

    it('logs an outage once a second', async () => {
      face.perform = () => Promise.reject(new TypeError('row 17 is odd'))
      for (let i = 0; i < 3; i++) await face.call('ListKeys', '{}')
      face.uptimeMs = 1000
      await face.call('ListKeys', '{}')
      expect(face.logged.map(({ keptBack }) => keptBack)).to.deep.equal([0, 2])
    })

    it('logs nothing of what callers do wrong', async () => {
      await face.call('ListKeys', '{}', { secret: 'wrong' })
      await face.call('DescribeKey', '{"KeyId":1}')
      expect(face.logged).to.deep.equal([])
    })
  })
})

interface SdkError extends Error {
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string }
}

async function failure(call: Promise<unknown>): Promise<SdkError> {
  try {
    await call
  } catch (error) {
    return error as SdkError
  }
  return expect.fail('was answered with success')
}

/** Headers of a request that the face has seen once already. */
async function signedHeaders(face: FaceUnderTest, body: string): Promise<Record<string, string>> {
  let headers: Record<string, string> = {}
  face.server.once('request', (request) => {
    headers = Object.fromEntries(
      Object.entries(request.headers as Record<string, string>).filter(
        ([name]) => !['connection', 'content-length', 'host', 'transfer-encoding'].includes(name),
      ),
    )
  })
  await face.call('ListKeys', body)
  return headers
}
