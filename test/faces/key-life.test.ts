import { expect } from 'chai'
import { DaemonUnderTest } from '../support/daemon-under-test.ts'
import { awsCli } from './aws-cli.ts'
import { awsSdk } from './aws-sdk.ts'
import { awsSdkV2 } from './aws-sdk-v2.ts'
import { boto3 } from './boto3.ts'
import { ClientError, describeClient, type Members, type RealClient } from './real-client.ts'

const PLAINTEXT = Buffer.from('secret text').toString('base64')
const CLIENTS = [awsCli, boto3, awsSdk, awsSdkV2]

/** Two keys of one client, and the aliases that it gives them. */
interface Keys {
  readonly id: string
  readonly arn: string
  readonly otherId: string
  readonly otherArn: string
  readonly alias: string
  ciphertext: string
}

interface Step {
  readonly operation: string
  readonly input: (keys: Keys) => Members
  /** Looks at the reply; without it an empty one is expected. */
  readonly expect?: (reply: Members, keys: Keys) => void
  /** An earlier step asked the same of the client: a slow one need not do it again. */
  readonly again?: true
}

const hasState = (state: string) => (reply: Members) =>
  expect((reply['KeyMetadata'] as Members)['KeyState']).to.equal(state)
const names = (...pairs: readonly (readonly [string, string])[]) =>
  pairs.map(([TagKey, TagValue]) => ({ TagKey, TagValue }))

/** One life of a key, in order. */
const LIFE: readonly Step[] = [
  { operation: 'CreateAlias', input: ({ id, alias }) => ({ AliasName: alias, TargetKeyId: id }) },
  {
    operation: 'Encrypt',
    input: ({ alias }) => ({ KeyId: alias, Plaintext: PLAINTEXT, EncryptionContext: { a: 'b' } }),
    expect: (reply, keys) => {
      expect(reply['KeyId']).to.equal(keys.arn)
      keys.ciphertext = String(reply['CiphertextBlob'])
    },
  },
  {
    operation: 'ReEncrypt',
    input: ({ ciphertext, otherId }) => ({
      CiphertextBlob: ciphertext,
      SourceEncryptionContext: { a: 'b' },
      DestinationKeyId: otherId,
      DestinationEncryptionContext: { c: 'd' },
    }),
    expect: (reply, keys) => {
      expect(reply).to.include({ SourceKeyId: keys.arn, KeyId: keys.otherArn })
      keys.ciphertext = String(reply['CiphertextBlob'])
    },
  },
  {
    operation: 'UpdateAlias',
    input: ({ otherId, alias }) => ({ AliasName: alias, TargetKeyId: otherId }),
  },
  {
    operation: 'Decrypt',
    input: ({ ciphertext, alias }) => ({
      KeyId: alias,
      CiphertextBlob: ciphertext,
      EncryptionContext: { c: 'd' },
    }),
    expect: (reply, { otherArn }) =>
      expect(reply).to.include({ KeyId: otherArn, Plaintext: PLAINTEXT }),
  },
  {
    operation: 'ListAliases',
    input: ({ otherId }) => ({ KeyId: otherId }),
    expect: ({ Aliases, Truncated }, { alias, otherId }) => {
      expect(
        (Aliases as Members[]).map(({ AliasName, TargetKeyId }) => [AliasName, TargetKeyId]),
      ).to.deep.equal([[alias, otherId]])
      expect(Truncated).to.not.equal(true)
    },
  },
  { operation: 'DeleteAlias', input: ({ alias }) => ({ AliasName: alias }) },
  {
    operation: 'TagResource',
    input: ({ id }) => ({ KeyId: id, Tags: names(['team', 'orders'], ['größe', '12 €']) }),
  },
  { operation: 'UntagResource', input: ({ id }) => ({ KeyId: id, TagKeys: ['team'] }) },
  {
    operation: 'ListResourceTags',
    input: ({ id }) => ({ KeyId: id }),
    expect: ({ Tags }) => expect(Tags).to.deep.equal(names(['größe', '12 €'])),
  },
  {
    operation: 'UpdateKeyDescription',
    input: ({ id }) => ({ KeyId: id, Description: 'Schlüssel' }),
  },
  { operation: 'DisableKey', input: ({ id }) => ({ KeyId: id }) },
  {
    operation: 'DescribeKey',
    input: ({ id }) => ({ KeyId: id }),
    expect: (reply) => {
      hasState('Disabled')(reply)
      expect((reply['KeyMetadata'] as Members)['Description']).to.equal('Schlüssel')
    },
  },
  { operation: 'EnableKey', input: ({ id }) => ({ KeyId: id }) },
  { operation: 'EnableKeyRotation', input: ({ id }) => ({ KeyId: id }) },
  {
    operation: 'GetKeyRotationStatus',
    input: ({ id }) => ({ KeyId: id }),
    expect: (reply) => expect(reply['KeyRotationEnabled']).to.equal(true),
  },
  { operation: 'DisableKeyRotation', input: ({ id }) => ({ KeyId: id }) },
  {
    operation: 'GetKeyRotationStatus',
    input: ({ id }) => ({ KeyId: id }),
    expect: (reply) => expect(reply['KeyRotationEnabled']).to.equal(false),
    again: true,
  },
  {
    operation: 'ListKeyRotations',
    input: ({ id }) => ({ KeyId: id }),
    expect: ({ Rotations }) => expect(Rotations).to.deep.equal([]),
  },
  {
    operation: 'PutKeyPolicy',
    input: ({ id }) => ({ KeyId: id, PolicyName: 'default', Policy: policyFor('123456789012') }),
  },
  {
    operation: 'GetKeyPolicy',
    input: ({ id }) => ({ KeyId: id, PolicyName: 'default' }),
    expect: ({ Policy }) => expect(Policy).to.equal(policyFor('123456789012')),
  },
  {
    operation: 'ListKeyPolicies',
    input: ({ id }) => ({ KeyId: id }),
    expect: ({ PolicyNames }) => expect(PolicyNames).to.deep.equal(['default']),
  },
  {
    operation: 'GenerateDataKeyWithoutPlaintext',
    input: ({ id }) => ({ KeyId: id, NumberOfBytes: 24 }),
    expect: (reply, { arn }) => {
      expect(reply['KeyId']).to.equal(arn)
      expect(reply).to.not.have.property('Plaintext')
    },
  },
  {
    operation: 'GetKeyLastUsage',
    input: ({ id }) => ({ KeyId: id }),
    expect: ({ KeyLastUsage }) =>
      expect((KeyLastUsage as Members)['Operation']).to.equal('GenerateDataKeyWithoutPlaintext'),
  },
  {
    operation: 'GenerateRandom',
    input: () => ({ NumberOfBytes: 1024 }),
    expect: ({ Plaintext }) =>
      expect(Buffer.from(String(Plaintext), 'base64')).to.have.length(1024),
  },
  {
    operation: 'ScheduleKeyDeletion',
    input: ({ id }) => ({ KeyId: id, PendingWindowInDays: 7 }),
    expect: (reply) => expect(reply['KeyState']).to.equal('PendingDeletion'),
  },
  {
    operation: 'CancelKeyDeletion',
    input: ({ id }) => ({ KeyId: id }),
    expect: (reply, { arn }) => expect(reply).to.deep.equal({ KeyId: arn }),
  },
  {
    operation: 'DescribeKey',
    input: ({ id }) => ({ KeyId: id }),
    expect: hasState('Disabled'),
    again: true,
  },
]

/** A client with its keys, and how far it got: one promise for each step, kept when the step went as it should. */
interface Life {
  readonly keys: Keys
  readonly steps: readonly Promise<void>[]
}

describe('the life of a key through real clients', function () {
  this.timeout(60_000)
  let daemon: DaemonUnderTest
  const lives = new Map<RealClient, Life>()

  before(async () => {
    daemon = await DaemonUnderTest.start()
    // All at once: two of them spend their time on starting.
    for (const client of CLIENTS) lives.set(client, begin(client, await makeKeys(client)))
  })
  after(async () => {
    await Promise.allSettled([...lives.values()].flatMap(({ steps }) => steps))
    await daemon.stop()
  })

  const lifeOf = (client: RealClient): Life => {
    const life = lives.get(client)
    if (!life) throw new TypeError(`${client.name} did not begin`)
    return life
  }

  for (const client of CLIENTS)
    describeClient(client, () => {
      for (const [index, { operation }] of stepsOf(client).entries())
        it(`${index + 1}. ${operation}`, () => lifeOf(client).steps[index])

      it('KMS-61: hears AlreadyExistsException, with its text, for an alias that is taken', async () => {
        const { keys, steps } = lifeOf(client)
        await Promise.all(steps)
        const input = { AliasName: keys.alias, TargetKeyId: keys.otherId }
        await awsSdk.call(daemon, 'CreateAlias', input)
        const error = await client.call(daemon, 'CreateAlias', input).catch((it: unknown) => it)
        expect(error).to.be.instanceOf(ClientError)
        expect([(error as ClientError).code, (error as ClientError).message]).to.deep.equal([
          'AlreadyExistsException',
          `An alias with the name arn:aws:kms:eu-west-1:123456789012:${keys.alias} already exists`,
        ])
      })
    })

  /** Takes one step after the other; none is taken after one that failed. */
  function begin(client: RealClient, keys: Keys): Life {
    let last = Promise.resolve()
    const steps = stepsOf(client).map((step) => {
      last = last.then(() => take(client, step, keys))
      last.catch(() => undefined) // the test of the step tells
      return last
    })
    return { keys, steps }
  }

  async function take(client: RealClient, step: Step, keys: Keys): Promise<void> {
    const reply = await client.call(daemon, step.operation, step.input(keys))
    if (step.expect) step.expect(reply, keys)
    else expect(reply).to.deep.equal({})
  }

  async function makeKeys({ name }: RealClient): Promise<Keys> {
    const [one, other] = [await makeKey(), await makeKey()]
    const alias = `alias/${name.replaceAll(/\W/g, '-')}`
    return { ...one, otherId: other.id, otherArn: other.arn, alias, ciphertext: '' }
  }

  async function makeKey(): Promise<{ id: string; arn: string }> {
    const { KeyMetadata } = await awsSdk.call(daemon, 'CreateKey', {})
    const { KeyId, Arn } = KeyMetadata as { KeyId: string; Arn: string }
    return { id: KeyId, arn: Arn }
  }
})

function stepsOf({ startsSlowly, lacks = [] }: RealClient): readonly Step[] {
  return LIFE.filter(
    ({ operation, again }) => !lacks.includes(operation) && !(startsSlowly && again),
  )
}

function policyFor(account: string): string {
  const Principal = { AWS: `arn:aws:iam::${account}:root` }
  const Statement = [{ Effect: 'Allow', Principal, Action: 'kms:*', Resource: '*' }]
  return JSON.stringify({ Version: '2012-10-17', Id: 'of a client', Statement })
}
