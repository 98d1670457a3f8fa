import { expect } from 'chai'
import { compileCondition } from '../../src/policy/condition.ts'
import { contextOf } from './context-of.ts'

type Fact = readonly [name: string, value: string | readonly string[]]

const holds = (operator: string, key: string, value: unknown, facts: Fact[], effect = 'Allow') =>
  compileCondition(
    JSON.parse(JSON.stringify({ [operator]: { [key]: value } })),
    'key',
    effect as 'Allow' | 'Deny',
    'Condition',
  )(contextOf(facts))

const ARN = 'arn:aws:iam::111122223333:role/team/admin'
const USER = 'aws:username'
const IP = 'aws:SourceIp'
const TAGS = 'aws:TagKeys'

const CASES: [operator: string, key: string, value: unknown, facts: Fact[], holds: boolean][] = [
  ['StringEquals', USER, 'alice', [[USER, 'alice']], true],
  ['StringEquals', USER, 'alice', [[USER, 'Alice']], false],
  ['StringEquals', USER, ['bob', 'alice'], [[USER, 'alice']], true],
  ['StringEquals', USER, 'al*', [[USER, 'alice']], false],
  ['StringEquals', USER, 'alice', [], false],
  ['StringEqualsIfExists', USER, 'alice', [], true],
  ['StringEqualsIfExists', USER, 'alice', [[USER, 'bob']], false],
  ['StringNotEquals', USER, 'alice', [[USER, 'bob']], true],
  ['StringNotEquals', USER, ['alice', 'bob'], [[USER, 'bob']], false],
  ['StringNotEquals', USER, 'alice', [], true],
  ['StringEqualsIgnoreCase', USER, 'ALICE', [[USER, 'Alice']], true],
  ['StringNotEqualsIgnoreCase', USER, 'ALICE', [[USER, 'alice']], false],
  ['StringLike', USER, 'al?c*', [[USER, 'alice']], true],
  ['StringLike', USER, 'b*', [[USER, 'alice']], false],
  ['StringNotLike', USER, 'al*', [[USER, 'alice']], false],
  ['StringNotLike', USER, 'al*', [], true],
  ['StringLike', 'aws:PrincipalArn', 'arn:aws:iam::*admin', [['aws:PrincipalArn', ARN]], true],
  ['ArnEquals', 'aws:PrincipalArn', ARN, [['aws:PrincipalArn', ARN]], true],
  ['ArnEquals', 'aws:PrincipalArn', 'arn:aws:iam::*:role/*', [['aws:PrincipalArn', ARN]], true],
  [
    'ArnLike',
    'aws:PrincipalArn',
    'arn:*:iam:*:111122223333:role/*/admin',
    [['aws:PrincipalArn', ARN]],
    true,
  ],
  ['ArnLike', 'aws:PrincipalArn', 'arn:aws:*:*:*:user/*', [['aws:PrincipalArn', ARN]], false],
  ['ArnLike', 'aws:PrincipalArn', 'arn:aws:iam:*:role/*:*', [['aws:PrincipalArn', ARN]], false],
  ['ArnLike', 'aws:PrincipalArn', 'arn:aws:iam::*:*', [['aws:PrincipalArn', 'nobody']], false],
  ['ArnNotLike', 'aws:PrincipalArn', 'arn:aws:iam::*:*', [['aws:PrincipalArn', 'nobody']], true],
  ['ArnNotEquals', 'aws:PrincipalArn', ARN, [['aws:PrincipalArn', ARN]], false],
  ['Bool', 'aws:SecureTransport', 'true', [['aws:SecureTransport', 'true']], true],
  ['Bool', 'aws:SecureTransport', true, [['aws:SecureTransport', 'true']], true],
  ['Bool', 'aws:SecureTransport', 'False', [['aws:SecureTransport', 'true']], false],
  ['Bool', 'aws:SecureTransport', 'false', [], false],
  ['BoolIfExists', 'aws:SecureTransport', 'false', [], true],
  ['IpAddress', IP, '10.0.0.0/8', [[IP, '10.255.0.1']], true],
  ['IpAddress', IP, '10.1.2.3/8', [[IP, '10.255.0.1']], true],
  ['IpAddress', IP, '10.0.0.1', [[IP, '10.0.0.2']], false],
  ['IpAddress', IP, '0.0.0.0/0', [[IP, '203.0.113.7']], true],
  ['IpAddress', IP, ['192.0.2.0/24', '2001:db8::/32'], [[IP, '2001:db8:1::5']], true],
  ['IpAddress', IP, '2001:db8::/32', [[IP, '2001:db9::1']], false],
  ['IpAddress', IP, '2001:db8::1', [[IP, '2001:db8::']], false],
  ['IpAddress', IP, '2001:db8::1/128', [[IP, '2001:DB8:0::1']], true],
  ['IpAddress', IP, '10.0.0.0/8', [[IP, '::ffff:10.0.0.1']], true],
  ['IpAddress', IP, '::/0', [[IP, '10.0.0.1']], false],
  ['IpAddress', IP, '::/0', [[IP, '::ffff:10.0.0.1']], false],
  ['IpAddress', IP, '0.0.0.0/0', [[IP, '2001:db8::1']], false],
  ['IpAddress', IP, '0.0.0.0/0', [[IP, 'somewhere']], false],
  ['IpAddress', IP, '0.0.0.0/0', [], false],
  ['NotIpAddress', IP, '10.0.0.0/8', [[IP, '10.0.0.1']], false],
  ['NotIpAddress', IP, '10.0.0.0/8', [], true],
  ['Null', USER, 'true', [], true],
  ['Null', USER, 'true', [[USER, 'alice']], false],
  ['Null', USER, false, [[USER, 'alice']], true],
  ['Null', USER, 'false', [[USER, '']], true],
  ['Null', TAGS, 'true', [[TAGS, []]], true],
  [
    'Null',
    'kms:ScheduleKeyDeletionPendingWindowInDays',
    'false',
    [['kms:ScheduleKeyDeletionPendingWindowInDays', '7']],
    true,
  ],
  ['ForAllValues:StringEquals', TAGS, ['a', 'b'], [[TAGS, ['b', 'a']]], true],
  ['ForAllValues:StringEquals', TAGS, ['a', 'b'], [[TAGS, ['b', 'c']]], false],
  ['ForAllValues:StringEquals', TAGS, ['a', 'b'], [], true],
  ['ForAllValues:StringNotLike', TAGS, 'a*', [[TAGS, ['b', 'c']]], true],
  ['ForAllValues:StringNotLike', TAGS, 'a*', [[TAGS, ['b', 'ab']]], false],
  ['ForAnyValue:StringEquals', TAGS, ['a', 'b'], [[TAGS, ['c', 'b']]], true],
  ['ForAnyValue:StringEquals', TAGS, ['a', 'b'], [[TAGS, ['c', 'd']]], false],
  ['ForAnyValue:StringEquals', TAGS, 'a', [], false],
  ['ForAnyValue:StringNotEquals', TAGS, 'a', [], false],
  ['ForAnyValue:StringNotEquals', TAGS, 'a', [[TAGS, ['a', 'b']]], true],
  ['ForAnyValue:StringNotEquals', TAGS, 'a', [[TAGS, ['a']]], false],
  ['ForAnyValue:StringEqualsIfExists', TAGS, 'a', [], true],
  ['ForAllValues:StringEqualsIfExists', TAGS, 'a', [[TAGS, ['b']]], false],
]

describe('compileCondition', () => {
  for (const [operator, key, value, facts, expected] of CASES)
    it(`${operator} ${key} ${JSON.stringify(value)} ${expected ? 'holds' : 'does not hold'} for ${JSON.stringify(facts)}`, () =>
      expect(holds(operator, key, value, facts)).to.equal(expected))

  it('holds when there is none', () => {
    expect(compileCondition(undefined, 'key', 'Allow', 'Condition')(new Map())).to.equal(true)
    expect(compileCondition({}, 'key', 'Allow', 'Condition')(new Map())).to.equal(true)
  })

  it('wants every operator and every key to hold', () => {
    const both = compileCondition(
      {
        StringEquals: { 'kms:EncryptionContext:a': '1', 'kms:EncryptionContext:b': '2' },
        Bool: { 'aws:SecureTransport': 'true' },
      },
      'key',
      'Allow',
      'Condition',
    )
    const a = ['kms:EncryptionContext:a', '1'] as const
    const b = ['kms:EncryptionContext:b', '2'] as const
    const tls = ['aws:SecureTransport', 'true'] as const
    expect(both(contextOf([a, b, tls]))).to.equal(true)
    for (const two of [
      [a, b],
      [a, tls],
      [b, tls],
    ])
      expect(both(contextOf(two))).to.equal(false)
  })

  describe('an encryption context', () => {
    const key = 'kms:EncryptionContext:Dept'

    it('is found in any case of its key, its value only in its own', () => {
      expect(holds('StringEquals', key, 'IT', [['kms:encryptioncontext:dEPT', 'IT']])).to.equal(
        true,
      )
      expect(holds('StringEquals', 'KMS:ENCRYPTIONCONTEXT:DEPT', 'IT', [[key, 'IT']])).to.equal(
        true,
      )
      expect(holds('StringEquals', key, 'IT', [[key, 'it']])).to.equal(false)
    })

    it('has keys whose case counts as values of kms:EncryptionContextKeys', () => {
      const given: Fact[] = [['kms:EncryptionContextKeys', ['Dept']]]
      const asked = (name: string) =>
        holds('ForAnyValue:StringEquals', 'kms:EncryptionContextKeys', name, given)
      expect(asked('Dept')).to.equal(true)
      expect(asked('dept')).to.equal(false)
    })

    for (const operator of [
      'StringEquals',
      'StringNotEquals',
      'StringLike',
      'StringEqualsIfExists',
    ])
      it(`AT-Z10 with one key in two spellings lets ${operator} allow nothing and deny all`, () => {
        for (const value of ['IT', 'HR', '*']) {
          const facts: Fact[] = [
            [key, 'IT'],
            [key.toLowerCase(), 'HR'],
          ]
          expect(holds(operator, key, value, facts, 'Allow')).to.equal(false)
          expect(holds(operator, key, value, facts, 'Deny')).to.equal(true)
        }
      })
  })
})
