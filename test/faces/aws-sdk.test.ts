import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { OPERATION_SCHEMAS } from '../../src/http/operation-schemas.ts'
import type { OperationName } from '../../src/kms/operation-names.ts'
import { DaemonUnderTest } from '../support/daemon-under-test.ts'
import { awsSdk } from './aws-sdk.ts'
import { ClientError, type Members } from './real-client.ts'

const MINUTES_MS = 60_000
const BYTES = Buffer.from('bytes').toString('base64')

const SUPPORTED: ReadonlySet<OperationName> = new Set<OperationName>([
  'CancelKeyDeletion',
  'CreateAlias',
  'CreateKey',
  'Decrypt',
  'DeleteAlias',
  'DescribeKey',
  'DisableKey',
  'DisableKeyRotation',
  'EnableKey',
  'EnableKeyRotation',
  'Encrypt',
  'GenerateDataKey',
  'GenerateDataKeyWithoutPlaintext',
  'GenerateRandom',
  'GetKeyLastUsage',
  'GetKeyPolicy',
  'GetKeyRotationStatus',
  'ListAliases',
  'ListKeyPolicies',
  'ListKeyRotations',
  'ListKeys',
  'ListResourceTags',
  'PutKeyPolicy',
  'ReEncrypt',
  'RotateKeyOnDemand',
  'ScheduleKeyDeletion',
  'TagResource',
  'UntagResource',
  'UpdateAlias',
  'UpdateKeyDescription',
])

/** A value that the validator lets pass, for every member that some operation requires. */
const REQUIRED_MEMBERS: Members = {
  AliasName: 'alias/orders',
  CustomKeyStoreId: 'cks-1234567890abcdef0',
  CustomKeyStoreName: 'store',
  Description: 'orders',
  EncapsulationAlgorithm: 'ML_KEM',
  EncryptedKeyMaterial: BYTES,
  GrantId: 'a'.repeat(64),
  ImportToken: BYTES,
  KeyAgreementAlgorithm: 'ECDH',
  KeyPairSpec: 'RSA_2048',
  Mac: BYTES,
  MacAlgorithm: 'HMAC_SHA_256',
  Message: BYTES,
  Operations: ['Encrypt'],
  Policy: '{}',
  PrimaryRegion: 'eu-west-1',
  PublicKey: BYTES,
  ReplicaRegion: 'eu-west-2',
  SharedSecretCiphertextBlob: BYTES,
  Signature: BYTES,
  SigningAlgorithm: 'ECDSA_SHA_256',
  TagKeys: ['team'],
  Tags: [{ TagKey: 'team', TagValue: 'orders' }],
  WrappingAlgorithm: 'RSAES_OAEP_SHA_256',
  WrappingKeySpec: 'RSA_4096',
}

const UNSUPPORTED_KEYS: readonly { readonly title: string; readonly input: Members }[] = [
  ...['RSA_4096', 'ECC_NIST_P256', 'HMAC_256', 'ML_DSA_65'].map((KeySpec) => ({
    title: `KeySpec ${KeySpec}`,
    input: { KeySpec },
  })),
  { title: 'Origin EXTERNAL', input: { Origin: 'EXTERNAL' } },
  { title: 'MultiRegion', input: { MultiRegion: true } },
  { title: 'a custom key store', input: { CustomKeyStoreId: 'cks-1234567890abcdef0' } },
  { title: 'an external key', input: { Origin: 'EXTERNAL_KEY_STORE', XksKeyId: 'key' } },
]

describe('AWS’s SDK for JavaScript against a daemon', () => {
  let daemon: DaemonUnderTest
  let key = ''

  before(async () => {
    daemon = await DaemonUnderTest.start()
    const { KeyMetadata } = await awsSdk.call(daemon, 'CreateKey', {})
    key = String((KeyMetadata as Members)['KeyId'])
  })
  after(() => daemon.stop())

  const refusal = async (operation: string, input: Members): Promise<ClientError> => {
    const outcome = await awsSdk.call(daemon, operation, input).catch((error: unknown) => error)
    expect(outcome).to.be.instanceOf(ClientError)
    return outcome as ClientError
  }

  for (const aheadMs of [20 * MINUTES_MS, -20 * MINUTES_MS])
    it(`corrects its own clock, ${Math.abs(aheadMs) / MINUTES_MS} minutes ${aheadMs > 0 ? 'ahead' : 'behind'}, after one refusal`, async () => {
      const program = join(import.meta.dirname, 'wrong-clock-process.ts')
      const { accessKeyId, secretAccessKey } = daemon.credentials
      const { stdout } = await promisify(execFile)(
        process.execPath,
        [program, daemon.kms, key, String(aheadMs)],
        { env: { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } },
      )
      expect(JSON.parse(stdout)).to.deep.equal({ keyId: key, attempts: [2, 1] })
    })

  it('KMS-62: hears DryRunOperationException from whatever would have succeeded', async () => {
    const { CiphertextBlob } = await awsSdk.call(daemon, 'Encrypt', {
      KeyId: key,
      Plaintext: BYTES,
    })
    const requests = [
      ['Encrypt', { KeyId: key, Plaintext: BYTES }],
      ['Decrypt', { CiphertextBlob }],
      ['GenerateDataKey', { KeyId: key, KeySpec: 'AES_256' }],
    ] as const
    for (const [operation, input] of requests) {
      const error = await refusal(operation, { ...input, DryRun: true })
      expect([error.code, error.message], operation).to.deep.equal([
        'DryRunOperationException',
        'The request would have succeeded, but the DryRun option is set.',
      ])
    }
  })

  it('knows 26 operations that this version does not support', () => {
    expect(others()).to.have.length(26)
  })

  for (const operation of others())
    it(`hears UnsupportedOperationException for ${operation}`, async () => {
      const error = await refusal(operation, minimalInput(operation))
      expect([error.code, error.message]).to.deep.equal([
        'UnsupportedOperationException',
        `${operation} is not supported by this version of hsm-bridge.`,
      ])
    })

  for (const { title, input } of UNSUPPORTED_KEYS)
    it(`hears UnsupportedOperationException for a key with ${title}, and no key is made`, async () => {
      const count = async () => (await awsSdk.call(daemon, 'ListKeys', {}))['Keys'] as unknown[]
      const before = await count()
      expect((await refusal('CreateKey', input)).code).to.equal('UnsupportedOperationException')
      expect(await count()).to.deep.equal(before)
    })

  it('hears UnsupportedOperationException for a reply meant for an enclave', async () => {
    const Recipient = {
      KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256',
      AttestationDocument: Buffer.from('document'),
    }
    const request = { KeyId: key, KeySpec: 'AES_256', Recipient }
    expect((await refusal('GenerateDataKey', request)).code).to.equal(
      'UnsupportedOperationException',
    )
  })

  it('hears InvalidGrantTokenException for any grant token', async () => {
    const request = { KeyId: key, Plaintext: BYTES, GrantTokens: ['token'] }
    expect((await refusal('Encrypt', request)).code).to.equal('InvalidGrantTokenException')
  })

  function minimalInput(operation: OperationName): Members {
    const known: Members = {
      ...REQUIRED_MEMBERS,
      KeyId: key,
      TargetKeyId: key,
      DestinationKeyId: key,
    }
    return Object.fromEntries(
      requiredMembers(operation).map((name) => {
        if (!Object.hasOwn(known, name)) throw new TypeError(`${operation} requires ${name}`)
        return [name, known[name]]
      }),
    )
  }
})

function others(): OperationName[] {
  return [...OPERATION_SCHEMAS.keys()].filter((name) => !SUPPORTED.has(name))
}

/** The names that AWS's schema of the operation lists first, as many as it says. */
function requiredMembers(operation: OperationName): readonly string[] {
  const schema = OPERATION_SCHEMAS.get(operation)?.input.getSchema()
  const [, , , , names, , count] = schema as unknown as [0, 0, 0, 0, readonly string[], 0, number?]
  return names.slice(0, count ?? 0)
}
