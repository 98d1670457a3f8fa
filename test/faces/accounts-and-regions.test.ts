import { expect } from 'chai'
import {
  type CallerUnderTest,
  DaemonUnderTest,
  type PrincipalUnderTest,
} from '../support/daemon-under-test.ts'
import { awsSdk } from './aws-sdk.ts'
import { ClientError, type Members } from './real-client.ts'

const OTHER_ACCOUNT = '444455556666'
const OTHER_REGION = 'us-east-1'
const PLAINTEXT = Buffer.from('secret text').toString('base64')
const UNKNOWN_ID = '00000000-0000-4000-8000-000000000000'

const EVERYTHING = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: 'kms:*', Resource: '*' }],
}

const UNKNOWN_CIPHERTEXT =
  'The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.'

/** What names a key in its request, with the other members that make it a valid one. */
const NAMING = {
  DescribeKey: {},
  Encrypt: { Plaintext: PLAINTEXT },
  GenerateDataKey: { KeySpec: 'AES_256' },
  RotateKeyOnDemand: {},
  ScheduleKeyDeletion: {},
} as const satisfies Record<string, Members>

describe('several accounts and regions on one endpoint', () => {
  let daemon: DaemonUnderTest
  let other: PrincipalUnderTest
  let key: { readonly id: string; readonly arn: string }
  let ciphertext: unknown

  before(async () => {
    daemon = await DaemonUnderTest.start()
    other = await daemon.createPrincipal('other', { account: OTHER_ACCOUNT, policy: EVERYTHING })
    key = await makeKey({})
    ciphertext = (await call('Encrypt', { KeyId: key.id, Plaintext: PLAINTEXT }))['CiphertextBlob']
  })
  after(() => daemon.stop())

  const call = (operation: string, input: Members, caller?: CallerUnderTest) =>
    awsSdk.call(daemon, operation, input, caller)
  const makeKey = async (input: Members, caller?: CallerUnderTest) => {
    const { KeyMetadata } = await call('CreateKey', input, caller)
    const { KeyId, Arn } = KeyMetadata as Record<string, string>
    return { id: KeyId ?? '', arn: Arn ?? '' }
  }
  const refusal = async (operation: string, input: Members, caller: CallerUnderTest) => {
    const outcome = await call(operation, input, caller).catch((error: unknown) => error)
    expect(outcome).to.be.instanceOf(ClientError)
    const { code, message } = outcome as ClientError
    return { code, message }
  }

  it('takes the account from the caller and the region from the credential scope', async () => {
    const made = await makeKey({}, { ...other, region: OTHER_REGION })
    expect(made.arn).to.equal(`arn:aws:kms:${OTHER_REGION}:${OTHER_ACCOUNT}:key/${made.id}`)
    expect((await call('ListKeys', {}, { ...other, region: OTHER_REGION }))['Keys']).to.deep.equal([
      { KeyId: made.id, KeyArn: made.arn },
    ])
    expect((await call('ListKeys', {}, other))['Keys']).to.deep.equal([])
    expect((await call('ListKeys', {}))['Keys']).to.deep.equal([{ KeyId: key.id, KeyArn: key.arn }])
  })

  for (const [operation, input] of Object.entries(NAMING)) {
    it(`AT-Z01: ${operation} finds no key of another account by its id`, async () => {
      const arn = `arn:aws:kms:eu-west-1:${OTHER_ACCOUNT}:key/${key.id}`
      expect(await refusal(operation, { ...input, KeyId: key.id }, other)).to.deep.equal({
        code: 'NotFoundException',
        message: `Key '${arn}' does not exist`,
      })
    })

    it(`AT-Z01, AT-Z02: ${operation} tells no difference between a key of another account and none`, async () => {
      const real = await refusal(operation, { ...input, KeyId: key.arn }, other)
      const absent = key.arn.replace(key.id, UNKNOWN_ID)
      expect(real.code).to.equal('AccessDeniedException')
      expect(real.message).not.to.include(key.id)
      expect(await refusal(operation, { ...input, KeyId: absent }, other)).to.deep.equal(real)
    })

    it(`KMS-10: ${operation} finds no key of another region by id or by ARN`, async () => {
      const abroad = { region: OTHER_REGION }
      expect(await refusal(operation, { ...input, KeyId: key.id }, abroad)).to.deep.equal({
        code: 'NotFoundException',
        message: `Key 'arn:aws:kms:${OTHER_REGION}:123456789012:key/${key.id}' does not exist`,
      })
      expect(await refusal(operation, { ...input, KeyId: key.arn }, abroad)).to.deep.equal({
        code: 'NotFoundException',
        message: 'Invalid arn eu-west-1',
      })
    })
  }

  it('KMS-37: a ciphertext of another account or region is denied in one text, named key or not', async () => {
    const requests: readonly (readonly [Members, CallerUnderTest])[] = [
      [{}, other],
      [{ KeyId: key.arn }, other],
      [{}, { region: OTHER_REGION }],
    ]
    for (const [input, caller] of requests) {
      const denied = await refusal('Decrypt', { CiphertextBlob: ciphertext, ...input }, caller)
      expect(denied).to.deep.equal({ code: 'AccessDeniedException', message: UNKNOWN_CIPHERTEXT })
    }
  })

  it('AT-Z01: a key that admits the other account serves those users whom that account permits', async () => {
    const nobody = await daemon.createPrincipal('nobody', { account: OTHER_ACCOUNT })
    const allow = (account: string, actions: string | string[]) => ({
      Effect: 'Allow',
      Principal: { AWS: `arn:aws:iam::${account}:root` },
      Action: actions,
      Resource: '*',
    })
    const Policy = JSON.stringify({
      Version: '2012-10-17',
      Statement: [
        allow('123456789012', 'kms:*'),
        allow(OTHER_ACCOUNT, ['kms:Encrypt', 'kms:Decrypt']),
      ],
    })
    const shared = await makeKey({ Policy })
    const request = { KeyId: shared.arn, Plaintext: PLAINTEXT }
    const { CiphertextBlob } = await call('Encrypt', request, other)
    expect(await call('Decrypt', { CiphertextBlob }, other)).to.include({
      KeyId: shared.arn,
      Plaintext: PLAINTEXT,
    })
    expect((await call('Decrypt', { CiphertextBlob }))['Plaintext']).to.equal(PLAINTEXT)
    expect((await refusal('Encrypt', request, nobody)).code).to.equal('AccessDeniedException')
    expect((await refusal('Decrypt', { CiphertextBlob }, nobody)).code).to.equal(
      'AccessDeniedException',
    )
    const more = await refusal('GenerateDataKey', { KeyId: shared.arn, NumberOfBytes: 1 }, other)
    expect(more.code).to.equal('AccessDeniedException')
  })
})
