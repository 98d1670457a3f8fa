import { RotateKeyOnDemandCommand } from '@aws-sdk/client-kms'
import { expect } from 'chai'
import { DaemonUnderTest, type PrincipalUnderTest } from '../support/daemon-under-test.ts'
import { awsCli } from './aws-cli.ts'
import { awsSdk } from './aws-sdk.ts'
import { awsSdkV2 } from './aws-sdk-v2.ts'
import { boto3 } from './boto3.ts'
import { ClientError, describeClient, type Members } from './real-client.ts'

const TEXT = Buffer.from('secret text').toString('base64')
const CONTEXT = { purpose: 'orders', größe: '12 €' }
const UNKNOWN_ID = '00000000-0000-4000-8000-000000000000'

/** What a client is told: the exception, and its text or a part of it. */
interface Refusal {
  readonly title: string
  readonly operation: string
  readonly input: (key: string, ciphertext: string) => Members
  readonly code: string
  readonly message: string | RegExp
  /** Asked through slow clients too. */
  readonly byAll?: true
}

// KMS-2: there is no message, and each client has its own word for that.
const NO_MESSAGE = /^(None|UnknownError|)$/

const REFUSALS: readonly Refusal[] = [
  {
    title: 'KMS-9: a key that does not exist',
    operation: 'DescribeKey',
    input: () => ({ KeyId: UNKNOWN_ID }),
    code: 'NotFoundException',
    message: `Key 'arn:aws:kms:eu-west-1:123456789012:key/${UNKNOWN_ID}' does not exist`,
    byAll: true,
  },
  {
    title: 'KMS-8: a key id that is none',
    operation: 'Encrypt',
    input: () => ({ KeyId: 'fake-key-id', Plaintext: TEXT }),
    code: 'NotFoundException',
    message: "Invalid keyId 'fake-key-id'",
  },
  {
    title: 'KMS-11: an alias that does not exist',
    operation: 'DescribeKey',
    input: () => ({ KeyId: 'alias/orders' }),
    code: 'NotFoundException',
    message: 'Alias arn:aws:kms:eu-west-1:123456789012:alias/orders is not found.',
  },
  {
    title: 'KMS-2: a ciphertext that is none',
    operation: 'Decrypt',
    input: () => ({ CiphertextBlob: TEXT }),
    code: 'InvalidCiphertextException',
    message: NO_MESSAGE,
    byAll: true,
  },
  {
    title: 'AT-C04: another encryption context',
    operation: 'Decrypt',
    input: (_, ciphertext) => ({ CiphertextBlob: ciphertext, EncryptionContext: { purpose: 'x' } }),
    code: 'InvalidCiphertextException',
    message: NO_MESSAGE,
  },
  {
    title: 'KMS-6: a plaintext that is too long',
    operation: 'Encrypt',
    input: (key) => ({ KeyId: key, Plaintext: Buffer.alloc(4097).toString('base64') }),
    code: 'ValidationException',
    message:
      "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096",
    byAll: true,
  },
  {
    title: 'a key spec that is not supported',
    operation: 'CreateKey',
    input: () => ({ KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' }),
    code: 'UnsupportedOperationException',
    message: /RSA_2048/,
  },
]

describe('real clients of AWS KMS', function () {
  this.timeout(60_000)
  let daemon: DaemonUnderTest
  let stranger: PrincipalUnderTest
  let otherKey: string

  before(async () => {
    daemon = await DaemonUnderTest.start()
    stranger = await daemon.createPrincipal('stranger')
    const made = await awsSdk.call(daemon, 'CreateKey', {})
    otherKey = String((made['KeyMetadata'] as Members)['KeyId'])
  })
  after(() => daemon.stop())

  for (const client of [awsCli, boto3, awsSdk, awsSdkV2]) {
    describeClient(client, () => {
      const call = (operation: string, input: Members) => client.call(daemon, operation, input)
      const refusal = async (...request: Parameters<typeof client.call>): Promise<ClientError> => {
        const outcome = await client.call(...request).catch((error: unknown) => error)
        expect(outcome).to.be.instanceOf(ClientError)
        return outcome as ClientError
      }
      let key = ''
      let arn = ''
      let ciphertext = ''

      it('makes a key, encrypts, and decrypts after a restart of the daemon', async () => {
        const made = (await call('CreateKey', { Description: client.name }))['KeyMetadata']
        key = String((made as Members)['KeyId'])
        arn = String((made as Members)['Arn'])
        const encrypted = await call('Encrypt', {
          KeyId: key,
          Plaintext: TEXT,
          EncryptionContext: CONTEXT,
        })
        ciphertext = String(encrypted['CiphertextBlob'])
        expect(encrypted).to.include({ KeyId: arn, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' })
        await daemon.terminate()
        await daemon.serve()
        await decrypts()
      })

      const decrypts = async () => {
        const request = { CiphertextBlob: ciphertext, EncryptionContext: CONTEXT }
        expect(await call('Decrypt', request)).to.include({ Plaintext: TEXT, KeyId: arn })
      }

      it('finds it in the list, and describes it by id and by ARN', async () => {
        const { Keys } = await call('ListKeys', {})
        expect(Keys).to.deep.include({ KeyId: key, KeyArn: arn })
        const named = await Promise.all([key, arn].map((KeyId) => call('DescribeKey', { KeyId })))
        expect(named[0]).to.deep.equal(named[1])
        expect(named[0]?.['KeyMetadata']).to.include({
          KeyId: key,
          Description: client.name,
          KeyState: 'Enabled',
          KeySpec: 'SYMMETRIC_DEFAULT',
        })
      })

      it('draws a data key, and opens it again', async () => {
        const drawn = await call('GenerateDataKey', { KeyId: key, KeySpec: 'AES_256' })
        expect(Buffer.from(String(drawn['Plaintext']), 'base64')).to.have.length(32)
        const opened = await call('Decrypt', { CiphertextBlob: drawn['CiphertextBlob'] })
        expect(opened['Plaintext']).to.equal(drawn['Plaintext'])
      })

      it('KMS-45: decrypts what it encrypted before a rotation', async () => {
        // By the SDK for all: the CLI and boto3 of Debian 12 are older than the operation.
        const before = await currentMaterial(key)
        await daemon.client().send(new RotateKeyOnDemandCommand({ KeyId: key }))
        expect(await currentMaterial(key))
          .to.match(/^[0-9a-f]{64}$/)
          .and.not.equal(before)
        await decrypts()
      })

      const refusals = REFUSALS.filter(({ byAll }) => byAll || !client.startsSlowly)
      for (const { title, operation, input, code, message } of refusals)
        it(`hears ${code} for ${title}`, async () => {
          const error = await refusal(daemon, operation, input(key, ciphertext))
          expect(error.code).to.equal(code)
          if (typeof message === 'string') expect(error.message).to.equal(message)
          else expect(error.message).to.match(message)
        })

      it('KMS-36: hears IncorrectKeyException when it names another key', async () => {
        const input = { CiphertextBlob: ciphertext, EncryptionContext: CONTEXT, KeyId: otherKey }
        expect((await refusal(daemon, 'Decrypt', input)).code).to.equal('IncorrectKeyException')
      })

      it('KMS-59: hears AccessDeniedException, with its text, as a user without a policy', async () => {
        const input = { CiphertextBlob: ciphertext, EncryptionContext: CONTEXT }
        const error = await refusal(daemon, 'Decrypt', input, stranger)
        expect([error.code, error.message]).to.deep.equal([
          'AccessDeniedException',
          `User: ${stranger.arn} is not authorized to perform: kms:Decrypt on resource: ${arn} because no identity-based policy allows the kms:Decrypt action`,
        ])
      })

      it('KMS-23, KMS-24: schedules the deletion, after which the key does nothing', async () => {
        const request = { KeyId: key, PendingWindowInDays: 7 }
        expect(await call('ScheduleKeyDeletion', request)).to.include({ KeyId: arn })
        const again = await refusal(daemon, 'Encrypt', { KeyId: key, Plaintext: TEXT })
        expect([again.code, again.message]).to.deep.equal([
          'KMSInvalidStateException',
          `${arn} is pending deletion.`,
        ])
      })
    })
  }

  async function currentMaterial(KeyId: string): Promise<unknown> {
    const { KeyMetadata } = await awsSdk.call(daemon, 'DescribeKey', { KeyId })
    return (KeyMetadata as Members)['CurrentKeyMaterialId']
  }
})
