import { expect } from 'chai'
import { newTrail } from '../../src/kms/audit-trail.ts'
import type { Caller } from '../../src/kms/caller.ts'
import { ACCOUNT, allowing, caller, expectKmsError, OTHER_ACCOUNT, Rig, statement } from './rig.ts'

const ROOT_ARN = (account: string) => `arn:aws:iam::${account}:root`
const grant = (aws: string, effect = 'Allow', extra: object = {}) => ({
  Effect: effect,
  Principal: { AWS: aws },
  Action: 'kms:*',
  Resource: '*',
  ...extra,
})
const ADMIN = grant(ROOT_ARN(ACCOUNT))
const NOBODY = caller('nobody', [])
const ABROAD = caller('bob', [allowing('kms:*')], { accountId: OTHER_ACCOUNT })
const BARE_ABROAD = caller('bob', [], { accountId: OTHER_ACCOUNT })
const DENIED = caller('alice', [
  allowing('kms:*'),
  statement({ Effect: 'Deny', Action: 'kms:Encrypt', Resource: '*' }),
])

const BECAUSE = {
  noIdentity: 'because no identity-based policy allows the kms:Encrypt action',
  noResource: 'because no resource-based policy allows the kms:Encrypt action',
  resourceDeny: 'with an explicit deny in a resource-based policy',
  identityDeny: 'with an explicit deny in an identity-based policy',
}

interface Row {
  readonly title: string
  readonly by: Caller
  readonly policy: readonly object[]
  readonly outcome: keyof typeof BECAUSE | 'stranger' | 'key-policy' | 'identity-policy' | 'root'
}

const ROWS: readonly Row[] = [
  {
    title: 'delegation and an identity policy',
    by: caller('alice'),
    policy: [ADMIN],
    outcome: 'identity-policy',
  },
  {
    title: 'delegation without an identity policy',
    by: NOBODY,
    policy: [ADMIN],
    outcome: 'noIdentity',
  },
  {
    title: 'the root of the account',
    by: caller('root', []),
    policy: [ADMIN],
    outcome: 'key-policy',
  },
  {
    title: 'a key policy that names the caller',
    by: NOBODY,
    policy: [ADMIN, grant(NOBODY.arn)],
    outcome: 'key-policy',
  },
  {
    title: 'a key policy for anyone',
    by: NOBODY,
    policy: [ADMIN, grant('*')],
    outcome: 'key-policy',
  },
  {
    title: 'a key policy that names somebody else',
    by: caller('alice'),
    policy: [grant(caller('carol').arn)],
    outcome: 'noResource',
  },
  {
    title: 'a deny in the key policy',
    by: caller('alice'),
    policy: [ADMIN, grant(caller('alice').arn, 'Deny')],
    outcome: 'resourceDeny',
  },
  {
    title: 'a deny in an identity policy',
    by: DENIED,
    policy: [ADMIN, grant(DENIED.arn)],
    outcome: 'identityDeny',
  },
  {
    title: 'another account, both sides',
    by: ABROAD,
    policy: [ADMIN, grant(OTHER_ACCOUNT)],
    outcome: 'identity-policy',
  },
  {
    title: 'another account by name, both sides',
    by: ABROAD,
    policy: [ADMIN, grant(ABROAD.arn)],
    outcome: 'identity-policy',
  },
  {
    title: 'another account without its own policy',
    by: BARE_ABROAD,
    policy: [ADMIN, grant(BARE_ABROAD.arn)],
    outcome: 'noIdentity',
  },
  {
    title: 'another account, anyone, without its own policy',
    by: BARE_ABROAD,
    policy: [ADMIN, grant('*')],
    outcome: 'noIdentity',
  },
  {
    title: 'the root of another account that is let in',
    by: caller('root', [], { accountId: OTHER_ACCOUNT }),
    policy: [ADMIN, grant(OTHER_ACCOUNT)],
    outcome: 'root',
  },
  { title: 'another account that is not let in', by: ABROAD, policy: [ADMIN], outcome: 'stranger' },
  {
    title: 'another account that is denied',
    by: ABROAD,
    policy: [ADMIN, grant(OTHER_ACCOUNT), grant(ABROAD.arn, 'Deny')],
    outcome: 'stranger',
  },
  {
    title: 'another account that is not let in and denied at home',
    by: caller('bob', [statement({ Effect: 'Deny', Action: 'kms:*', Resource: '*' })], {
      accountId: OTHER_ACCOUNT,
    }),
    policy: [ADMIN],
    outcome: 'stranger',
  },
  {
    title: 'a condition on the encryption context that holds',
    by: NOBODY,
    policy: [
      ADMIN,
      grant(NOBODY.arn, 'Allow', {
        Condition: { StringEquals: { 'kms:EncryptionContext:team': 'red' } },
      }),
    ],
    outcome: 'key-policy',
  },
  {
    title: 'a condition on the encryption context that does not hold',
    by: NOBODY,
    policy: [
      ADMIN,
      grant(NOBODY.arn, 'Allow', {
        Condition: { StringEquals: { 'kms:EncryptionContext:team': 'blue' } },
      }),
    ],
    outcome: 'noIdentity',
  },
  {
    title: 'conditions on everything a request says',
    by: NOBODY,
    policy: [
      ADMIN,
      grant(NOBODY.arn, 'Allow', {
        Condition: {
          StringEquals: {
            'kms:EncryptionAlgorithm': 'SYMMETRIC_DEFAULT',
            'kms:KeySpec': 'SYMMETRIC_DEFAULT',
            'kms:KeyUsage': 'ENCRYPT_DECRYPT',
            'kms:KeyOrigin': 'AWS_KMS',
            'kms:CallerAccount': ACCOUNT,
            'aws:PrincipalAccount': ACCOUNT,
            'aws:RequestedRegion': 'eu-central-1',
            'aws:ResourceTag/Stage': 'test',
            'aws:username': 'nobody',
            'aws:UserAgent': 'test',
          },
          ArnEquals: { 'aws:PrincipalArn': NOBODY.arn },
          IpAddress: { 'aws:SourceIp': '192.0.2.0/24' },
          Bool: { 'aws:SecureTransport': 'true', 'kms:MultiRegion': 'false' },
          'ForAllValues:StringEquals': { 'kms:EncryptionContextKeys': ['team'] },
        },
      }),
    ],
    outcome: 'key-policy',
  },
]

describe('authorize', () => {
  let rig: Rig
  before(async () => {
    rig = await new Rig().start()
  })
  after(() => rig.remove())

  for (const { title, by, policy, outcome } of ROWS)
    it(`KMS-59: ${title}: ${outcome}`, async () => {
      const { arn } = await rig.makeKey({
        policy: statement(...policy),
        bypassPolicyLockoutSafetyCheck: true,
        tags: [{ tagKey: 'Stage', tagValue: 'test' }],
      })
      const trail = newTrail()
      const input = { keyId: arn, plaintext: Buffer.from('x'), encryptionContext: { team: 'red' } }
      const asked = rig.ask('Encrypt', input, { by, trail })
      if (outcome === 'key-policy' || outcome === 'identity-policy' || outcome === 'root') {
        await asked
        expect(trail.decision).to.include({ allowed: true, by: outcome })
        expect(trail.decision?.statement?.effect).to.equal('Allow')
        return
      }
      await expectKmsError(asked, 'AccessDeniedException', denial(by, arn, outcome))
      expect(trail.decision).to.include({ allowed: false })
    })

  it('AT-Z01 AT-Z02: a stranger hears the same of a key that exists and of one that does not', async () => {
    const { arn } = await rig.makeKey()
    const absent = arn.replace(/.{12}$/, '000000000000')
    for (const operation of [
      'Encrypt',
      'DescribeKey',
      'RotateKeyOnDemand',
      'ScheduleKeyDeletion',
    ] as const) {
      const texts = await Promise.all(
        [arn, absent].map((keyId) =>
          rig.ask(operation, { keyId, plaintext: Buffer.from('x') }, { by: ABROAD }).then(
            () => expect.fail('it succeeded'),
            (error: Error) => error.message,
          ),
        ),
      )
      expect(texts[0]).to.equal(texts[1]).and.to.contain('does not exist in this Region')
    }
  })

  it('KMS-9: in the own account an unknown key is named by its ARN', async () => {
    const keyId = '1234abcd-12ab-34cd-56ef-1234567890ab'
    await expectKmsError(
      rig.ask('DescribeKey', { keyId }),
      'NotFoundException',
      `Key 'arn:aws:kms:eu-central-1:${ACCOUNT}:key/${keyId}' does not exist`,
    )
  })

  it('AT-Z10: two context keys that differ in case only satisfy no condition on one value', async () => {
    const { arn } = await rig.makeKey({
      policy: statement(
        ADMIN,
        grant(NOBODY.arn, 'Allow', {
          Condition: { StringEquals: { 'kms:EncryptionContext:team': 'red' } },
        }),
      ),
    })
    const encryptionContext = { team: 'red', Team: 'blue' }
    const input = { keyId: arn, plaintext: Buffer.from('x'), encryptionContext }
    await expectKmsError(rig.ask('Encrypt', input, { by: NOBODY }), 'AccessDeniedException')
  })
})

function denial(by: Caller, arn: string, outcome: keyof typeof BECAUSE | 'stranger'): string {
  const who = `User: ${by.arn} is not authorized to perform: kms:Encrypt on`
  if (outcome === 'stranger')
    return `${who} this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access`
  return `${who} resource: ${arn} ${BECAUSE[outcome]}`
}
