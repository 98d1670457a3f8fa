import { expect } from 'chai'
import { newTrail } from '../../../src/kms/audit-trail.ts'
import { defaultKeyPolicy } from '../../../src/policy/default-key-policy.ts'
import { ACCOUNT, ALICE, allowing, caller, expectKmsError, Rig, statement } from '../rig.ts'

const LOCKOUT = 'The new key policy will not allow you to update the key policy in the future.'
const allow = (principal: unknown, Action = 'kms:*', extra: object = {}) => ({
  Effect: 'Allow',
  Principal: principal,
  Action,
  Resource: '*',
  ...extra,
})

describe('key policy', () => {
  let rig: Rig
  let key: { keyId: string; arn: string }
  before(async () => {
    rig = await new Rig().start()
  })
  beforeEach(async () => {
    key = await rig.makeKey()
  })
  after(() => rig.remove())

  const put = (policy: string, input: object = {}) =>
    rig.ask('PutKeyPolicy', { keyId: key.keyId, policy, ...input })
  const get = (input: object = {}) => rig.ask('GetKeyPolicy', { keyId: key.keyId, ...input })

  it('KMS-19: GetKeyPolicy gives the default policy of a key that was made without one', async () => {
    expect(await get()).to.deep.equal({ policy: defaultKeyPolicy(ACCOUNT), policyName: 'default' })
  })

  it('KMS-19: PutKeyPolicy replies nothing; GetKeyPolicy gives the text back character for character', async () => {
    const policy = ` {"Statement":[${JSON.stringify(allow({ AWS: ACCOUNT }))}],\t"Version" :"2012-10-17",\n"Id":"ü"}\r\n`
    expect(await put(policy)).to.equal(undefined)
    expect(await get()).to.deep.equal({ policy, policyName: 'default' })
    await rig.restart()
    expect((await get()).policy).to.equal(policy)
  })

  it('a policy holds with the next request', async () => {
    const by = caller('bob', [])
    const describeKey = () => rig.ask('DescribeKey', { keyId: key.keyId }, { by })
    await expectKmsError(describeKey(), 'AccessDeniedException')
    await put(statement(allow({ AWS: ACCOUNT }), allow({ AWS: by.arn }, 'kms:DescribeKey')))
    await describeKey()
    await put(statement(allow({ AWS: ACCOUNT })))
    await expectKmsError(describeKey(), 'AccessDeniedException')
  })

  it('KMS-58: the one policy is called default', async () => {
    await get({ policyName: 'default' })
    await put(defaultKeyPolicy(ACCOUNT), { policyName: 'default' })
    const message = 'No such policy exists'
    await expectKmsError(get({ policyName: 'other' }), 'NotFoundException', message)
    await expectKmsError(
      put(defaultKeyPolicy(ACCOUNT), { policyName: 'other' }),
      'NotFoundException',
      message,
    )
  })

  it('KMS-60: ListKeyPolicies says that the list is whole', async () => {
    for (const input of [{}, { limit: 1 }, { limit: 1000 }])
      expect(await rig.ask('ListKeyPolicies', { keyId: key.keyId, ...input })).to.deep.equal({
        policyNames: ['default'],
        truncated: false,
      })
  })

  const lockouts: [string, object[]][] = [
    ['names somebody else', [allow({ AWS: caller('carol').arn })]],
    ['allows everything but PutKeyPolicy', [allow({ AWS: ACCOUNT }, 'kms:Get*')]],
    ['denies PutKeyPolicy', [allow('*'), { ...allow('*', 'kms:PutKeyPolicy'), Effect: 'Deny' }]],
    [
      'allows under a condition that does not hold now',
      [allow('*', 'kms:*', { Condition: { IpAddress: { 'aws:SourceIp': '198.51.100.0/24' } } })],
    ],
    [
      'asks for a tag that the key lacks',
      [allow('*', 'kms:*', { Condition: { StringEquals: { 'aws:ResourceTag/a': 'b' } } })],
    ],
    [
      'asks for an alias that the key lacks',
      [
        allow('*', 'kms:*', {
          Condition: { 'ForAnyValue:StringEquals': { 'kms:ResourceAliases': 'alias/lockout' } },
        }),
      ],
    ],
  ]
  for (const [what, statements] of lockouts)
    it(`AT-Z06 KMS-58: refuses a policy that ${what}, unless the caller insists`, async () => {
      const policy = statement(...statements)
      await expectKmsError(put(policy), 'MalformedPolicyDocumentException', LOCKOUT)
      expect((await get()).policy).to.equal(defaultKeyPolicy(ACCOUNT))
      await put(policy, { bypassPolicyLockoutSafetyCheck: true })
      expect(rig.storage.snapshot.findKey(key.arn)?.policy).to.equal(policy)
    })

  it('KMS-58: conditions on tags and aliases that the key has lock nobody out', async () => {
    const { keyId } = key
    await rig.ask('TagResource', { keyId, tags: [{ tagKey: 'a', tagValue: 'b' }] })
    await rig.ask('CreateAlias', { aliasName: 'alias/kept', targetKeyId: keyId })
    const Condition = {
      StringEquals: { 'aws:ResourceTag/a': 'b' },
      'ForAnyValue:StringEquals': { 'kms:ResourceAliases': 'alias/kept' },
    }
    await put(statement(allow('*', 'kms:*', { Condition })))
  })

  it('ARCH-D13: refuses what it does not know, and what is no policy', async () => {
    for (const policy of [
      statement({ ...allow('*'), NotAction: 'kms:X' }),
      statement(allow({ Service: 's3.amazonaws.com' })),
      statement(allow('*', 'kms:*', { Condition: { StringEquals: { 'x:y': 'z' } } })),
      'no policy',
      '[]',
    ]) {
      for (const input of [{}, { bypassPolicyLockoutSafetyCheck: true }])
        await expectKmsError(put(policy, input), 'MalformedPolicyDocumentException')
    }
  })

  it('KMS-59: each operation needs its own permission; kms:BypassPolicyLockoutSafetyCheck speaks of the waiver', async () => {
    const { keyId } = key
    const policy = defaultKeyPolicy(ACCOUNT)
    for (const [operation, others] of [
      ['GetKeyPolicy', ['kms:PutKeyPolicy', 'kms:ListKeyPolicies']],
      ['PutKeyPolicy', ['kms:GetKeyPolicy', 'kms:ListKeyPolicies']],
      ['ListKeyPolicies', ['kms:GetKeyPolicy', 'kms:PutKeyPolicy']],
    ] as const) {
      const by = caller('user', [allowing(...others)])
      await expectKmsError(rig.ask(operation, { keyId, policy }, { by }), 'AccessDeniedException')
      await rig.ask(
        operation,
        { keyId, policy },
        { by: caller('user', [allowing(`kms:${operation}`)]) },
      )
    }
    const careful = caller('careful', [
      statement({
        Effect: 'Allow',
        Action: 'kms:PutKeyPolicy',
        Resource: '*',
        Condition: { Bool: { 'kms:BypassPolicyLockoutSafetyCheck': 'false' } },
      }),
    ])
    await rig.ask('PutKeyPolicy', { keyId, policy }, { by: careful })
    const waived = { keyId, policy, bypassPolicyLockoutSafetyCheck: true }
    await expectKmsError(rig.ask('PutKeyPolicy', waived, { by: careful }), 'AccessDeniedException')
  })

  it('leaves a trail of the policy that was put', async () => {
    const trail = newTrail()
    const policy = defaultKeyPolicy(ACCOUNT)
    await rig.ask('PutKeyPolicy', { keyId: key.keyId, policy }, { by: ALICE, trail })
    expect(trail).to.deep.include({
      resources: [key.arn],
      parameters: { keyId: key.keyId, policy },
      response: { keyId: key.arn },
    })
  })
})
