import { expect } from 'chai'
import fc from 'fast-check'
import { compilePolicy } from '../../src/policy/compile-policy.ts'
import type { PolicyKind, PolicyQuestion } from '../../src/policy/compiled-policy.ts'
import { defaultKeyPolicy } from '../../src/policy/default-key-policy.ts'
import { PolicyError } from '../../src/policy/policy-error.ts'
import { contextOf } from './context-of.ts'

const ACCOUNT = '111122223333'
const ALICE = `arn:aws:iam::${ACCOUNT}:user/alice`
const ROOT = `arn:aws:iam::${ACCOUNT}:root`
const KEY = `arn:aws:kms:eu-west-1:${ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab`

function question(changes: Partial<PolicyQuestion> = {}): PolicyQuestion {
  return {
    principal: { arn: ALICE, accountId: ACCOUNT },
    action: 'kms:Decrypt',
    resource: KEY,
    context: new Map(),
    ...changes,
  }
}

const ALLOW_ALL = { Effect: 'Allow', Principal: '*', Action: 'kms:*', Resource: '*' }

function policyOf(statement: unknown, kind: PolicyKind = 'key') {
  return compilePolicy(JSON.stringify({ Version: '2012-10-17', Statement: statement }), kind)
}

/** `deny`, or how each matching allow was matched. */
function decision(statement: unknown, changes: Partial<PolicyQuestion> = {}, kind?: PolicyKind) {
  const { deny, allows } = policyOf(statement, kind).decide(question(changes))
  return deny === undefined ? allows.map(({ matchedBy }) => matchedBy).join() : 'deny'
}

describe('compilePolicy', () => {
  it('names the statement that decided', () => {
    const statements = [
      { ...ALLOW_ALL, Sid: 'All' },
      { ...ALLOW_ALL, Sid: 'No decrypt', Effect: 'Deny', Action: 'kms:Decrypt' },
    ]
    expect(policyOf(statements).decide(question())).to.deep.equal({
      deny: { index: 1, sid: 'No decrypt', effect: 'Deny', matchedBy: 'anyone' },
      allows: [],
    })
    expect(policyOf(statements).decide(question({ action: 'kms:Encrypt' }))).to.deep.equal({
      allows: [{ index: 0, sid: 'All', effect: 'Allow', matchedBy: 'anyone' }],
    })
  })

  it('lists every allow that matches', () => {
    const { allows } = policyOf([ALLOW_ALL, { ...ALLOW_ALL, Principal: { AWS: ALICE } }]).decide(
      question(),
    )
    expect(allows.map(({ index, matchedBy }) => `${index} ${matchedBy}`)).to.deep.equal([
      '0 anyone',
      '1 principal',
    ])
  })

  it('takes one statement for a list of one', () =>
    expect(decision(ALLOW_ALL)).to.equal(decision([ALLOW_ALL])))

  it('lists the principals that it names, an account root by its account', () =>
    expect(
      policyOf([
        { ...ALLOW_ALL, Principal: { AWS: [ALICE, ROOT, '*'] } },
        { ...ALLOW_ALL, Principal: { AWS: ['444455556666', ALICE] } },
      ]).principals,
    ).to.deep.equal([ALICE, ACCOUNT, '444455556666']))

  describe('Principal', () => {
    const root = { arn: ROOT, accountId: ACCOUNT }
    const stranger = { arn: 'arn:aws:iam::444455556666:user/alice', accountId: '444455556666' }
    const cases: [
      principal: unknown,
      caller: PolicyQuestion['principal'] | undefined,
      by: string,
    ][] = [
      ['*', undefined, 'anyone'],
      [{ AWS: '*' }, undefined, 'anyone'],
      [{ AWS: ALICE }, undefined, 'principal'],
      [{ AWS: ACCOUNT }, undefined, 'account'],
      [{ AWS: ROOT }, undefined, 'account'],
      [{ AWS: ROOT }, root, 'principal'],
      [{ AWS: ACCOUNT }, root, 'principal'],
      [{ AWS: ['*', ROOT] }, undefined, 'account'],
      [{ AWS: ['*', ROOT, ALICE] }, undefined, 'principal'],
      [{ AWS: [ALICE, ROOT] }, stranger, ''],
      [{ AWS: `${ALICE}2` }, undefined, ''],
      [
        { AWS: ALICE.toUpperCase().replace('ARN:AWS:IAM', 'arn:aws:iam').replace('USER', 'user') },
        undefined,
        '',
      ],
    ]
    for (const [principal, caller, by] of cases)
      it(`${JSON.stringify(principal)} takes ${caller?.arn ?? 'alice'} ${by === '' ? 'not at all' : `as ${by}`}`, () =>
        expect(
          decision({ ...ALLOW_ALL, Principal: principal }, caller ? { principal: caller } : {}),
        ).to.equal(by))

    for (const arn of [
      `arn:aws:iam::${ACCOUNT}:role/path/of/role`,
      `arn:aws-cn:iam::${ACCOUNT}:user/u`,
      `arn:aws:sts::${ACCOUNT}:assumed-role/role/session@x`,
    ])
      it(`takes ${arn}`, () =>
        expect(
          decision(
            { ...ALLOW_ALL, Principal: { AWS: arn } },
            { principal: { arn, accountId: ACCOUNT } },
          ),
        ).to.equal('principal'))
  })

  describe('an identity policy', () => {
    it('matches its owner without a Principal', () => {
      const { Principal: _, ...statement } = ALLOW_ALL
      expect(decision(statement, {}, 'identity')).to.equal('principal')
    })
  })

  describe('Action', () => {
    const cases: [action: string | string[], asked: string, applies: boolean][] = [
      ['*', 'kms:Decrypt', true],
      ['kms:*', 'kms:Decrypt', true],
      ['kms:Decrypt', 'kms:Decrypt', true],
      ['KMS:decrypt', 'kms:Decrypt', true],
      ['kms:Generate*', 'kms:GenerateDataKey', true],
      ['kms:*DataKey*', 'kms:GenerateDataKeyPair', true],
      ['kms:?ecrypt', 'kms:Decrypt', true],
      ['kms:Decrypt?', 'kms:Decrypt', false],
      ['kms:Generate*', 'kms:Decrypt', false],
      ['s3:*', 'kms:Decrypt', false],
      [['kms:Encrypt', 'kms:Decrypt'], 'kms:Decrypt', true],
      [['kms:Encrypt', 'kms:List*'], 'kms:Decrypt', false],
    ]
    for (const [action, asked, applies] of cases)
      it(`${JSON.stringify(action)} ${applies ? 'covers' : 'does not cover'} ${asked}`, () =>
        expect(decision({ ...ALLOW_ALL, Action: action }, { action: asked })).to.equal(
          applies ? 'anyone' : '',
        ))
  })

  describe('Resource', () => {
    const cases: [resource: string | string[], asked: string, applies: boolean][] = [
      ['*', KEY, true],
      ['*', '*', true],
      [KEY, KEY, true],
      [KEY.toUpperCase().replace('ARN', 'arn'), KEY, false],
      [`arn:aws:kms:*:${ACCOUNT}:key/*`, KEY, true],
      ['arn:aws:kms:*:*:key/1234abcd-????-*', KEY, true],
      ['arn:aws:kms:*:444455556666:key/*', KEY, false],
      ['arn:aws:kms:*:*:alias/*', KEY, false],
      ['arn:aws:kms:*:*:*', '*', false],
      ['arn:aws:kms:*:*:*', 'arn:aws:kms:r:1:a:b:c', true],
      [[`arn:aws:kms:*:*:alias/*`, KEY], KEY, true],
    ]
    for (const [resource, asked, applies] of cases) {
      it(`${JSON.stringify(resource)} ${applies ? 'covers' : 'does not cover'} ${asked}`, () =>
        expect(decision({ ...ALLOW_ALL, Resource: resource }, { resource: asked })).to.equal(
          applies ? 'anyone' : '',
        ))
    }

    it('AT-Z07 does not let a star reach across the account', () =>
      expect(
        decision(
          { ...ALLOW_ALL, Resource: `arn:aws:kms:*:${ACCOUNT}:key/*` },
          { resource: `arn:aws:kms:r:444455556666:x:${ACCOUNT}:key/1` },
        ),
      ).to.equal(''))
  })

  describe('what is refused', () => {
    const text = (document: unknown) => JSON.stringify(document)
    const statement = (changes: object) => text({ Statement: [{ ...ALLOW_ALL, ...changes }] })
    const condition = (element: unknown) => statement({ Condition: element })
    const { Principal: _, ...noPrincipal } = ALLOW_ALL
    const cases: [title: string, text: string, message: string][] = [
      ['no JSON', '{', 'not valid JSON'],
      ['nothing', '', 'not valid JSON'],
      ['a comment', `${text({ Statement: ALLOW_ALL })}//`, 'not valid JSON'],
      ['a list', '[]', 'must be an object'],
      ['null', 'null', 'must be an object'],
      [
        'more than 131072 characters',
        text({ Id: 'x'.repeat(131_072), Statement: ALLOW_ALL }),
        'longer than 131072',
      ],
      ['deep nesting', '['.repeat(50_000), 'nested too deeply'],
      [
        'AT-J01 a member twice',
        '{"Statement":[],"Statement":[]}',
        'The member "Statement" occurs twice.',
      ],
      [
        'AT-J01 a member twice, once in disguise',
        '{"Statement":[{"Effect":"Allow","Eff\\u0065ct":"Deny"}]}',
        'The member "Effect" occurs twice.',
      ],
      [
        'AT-J02 __proto__',
        '{"__proto__":{},"Statement":[]}',
        'the member "__proto__" is not supported',
      ],
      [
        'AT-J02 a constructor of operators',
        condition({ constructor: { 'aws:username': 'a' } }),
        'operator is not supported',
      ],
      [
        'AT-J02 a constructor of keys',
        condition({ StringEquals: { constructor: 'a' } }),
        'key is not supported',
      ],
      [
        'an unknown member',
        text({ Statement: ALLOW_ALL, Foo: 1 }),
        'the member "Foo" is not supported',
      ],
      ['an unknown version', text({ Version: '2012-10-18', Statement: ALLOW_ALL }), 'Version'],
      ['an Id that is no string', text({ Id: 1, Statement: ALLOW_ALL }), 'Id: must be a string'],
      ['no statement', text({ Version: '2012-10-17' }), 'Statement[0]: must be an object'],
      ['an empty list of statements', text({ Statement: [] }), 'Statement: must not be empty'],
      [
        'two statements of one Sid',
        text({
          Statement: [
            { ...ALLOW_ALL, Sid: 'a' },
            { ...ALLOW_ALL, Sid: 'a' },
          ],
        }),
        'the Sid "a" occurs twice',
      ],
      ['a Sid that is no string', statement({ Sid: 1 }), 'Statement[0].Sid'],
      ['no principal', text({ Statement: noPrincipal }), 'must name a Principal'],
      ['another effect', statement({ Effect: 'allow' }), 'Statement[0].Effect'],
      ['AT-Z07 NotPrincipal', statement({ NotPrincipal: '*' }), '"NotPrincipal" is not supported'],
      ['AT-Z07 NotAction', statement({ NotAction: 'kms:Decrypt' }), '"NotAction" is not supported'],
      ['AT-Z07 NotResource', statement({ NotResource: '*' }), '"NotResource" is not supported'],
      [
        'a Service principal',
        statement({ Principal: { Service: 'x.amazonaws.com' } }),
        'principals of type "Service"',
      ],
      ['an empty principal', statement({ Principal: {} }), 'Principal.AWS'],
      ['no principals', statement({ Principal: { AWS: [] } }), 'must name a principal'],
      [
        'AT-Z07 a wildcard in a principal',
        statement({ Principal: { AWS: `arn:aws:iam::${ACCOUNT}:user/*` } }),
        'is not an account, user, role',
      ],
      [
        'AT-Z07 a wildcard for an account',
        statement({ Principal: { AWS: 'arn:aws:iam::*:root' } }),
        'is not an account',
      ],
      [
        'AT-Z07 an account in other digits',
        statement({ Principal: { AWS: '１１１１２２２２３３３３' } }),
        'is not an account',
      ],
      [
        'an account of 11 digits',
        statement({ Principal: { AWS: '11112222333' } }),
        'is not an account',
      ],
      [
        'a number for an account',
        statement({ Principal: { AWS: 111122223333 } }),
        'is not a string',
      ],
      [
        'a principal that is just text',
        statement({ Principal: 'alice' }),
        'must be "*" or an object',
      ],
      ['no action', statement({ Action: [] }), 'Action: must not be empty'],
      ['an action without service', statement({ Action: 'Decrypt' }), '"Decrypt" is not an action'],
      [
        'an action with a wildcard service',
        statement({ Action: 'k*:Decrypt' }),
        'is not an action',
      ],
      ['an action that is no string', statement({ Action: [1] }), 'must be a string'],
      ['no resource', statement({ Resource: undefined }), 'Resource'],
      ['a resource that is no ARN', statement({ Resource: 'key/*' }), 'is neither * nor an ARN'],
      [
        'a resource with too few parts',
        statement({ Resource: 'arn:aws:kms:*' }),
        'is neither * nor an ARN',
      ],
      [
        'a variable in a resource',
        statement({ Resource: 'arn:aws:kms:*:*:key/${aws:username}' }),
        'policy variables',
      ],
      ['a condition that is no object', condition([]), 'must be an object'],
      [
        'an operator without keys',
        condition({ StringEquals: {} }),
        'must be an object with condition keys',
      ],
      [
        'NumericEquals',
        condition({ NumericEquals: { 'kms:ScheduleKeyDeletionPendingWindowInDays': '7' } }),
        'operator is not supported',
      ],
      [
        'DateLessThan',
        condition({ DateLessThan: { 'aws:CurrentTime': '2026-01-01' } }),
        'operator is not supported',
      ],
      [
        'BinaryEquals',
        condition({ BinaryEquals: { 'aws:username': 'QQ==' } }),
        'operator is not supported',
      ],
      [
        'an operator in lower case',
        condition({ stringequals: { 'aws:username': 'a' } }),
        'operator is not supported',
      ],
      [
        'NullIfExists',
        condition({ NullIfExists: { 'aws:username': 'true' } }),
        'operator is not supported',
      ],
      [
        'ForAnyValue:Null',
        condition({ 'ForAnyValue:Null': { 'aws:TagKeys': 'true' } }),
        'operator is not supported',
      ],
      [
        'ForSomeValue',
        condition({ 'ForSomeValue:StringEquals': { 'aws:TagKeys': 'a' } }),
        'operator is not supported',
      ],
      [
        'an unknown condition key',
        condition({ StringEquals: { 'aws:PrincipalOrgID': 'o-1' } }),
        'StringEquals"]["aws:PrincipalOrgID"]: this condition key is not supported',
      ],
      [
        'an encryption context without a key',
        condition({ StringEquals: { 'kms:EncryptionContext:': 'a' } }),
        'key is not supported',
      ],
      [
        'a condition key in two spellings',
        condition({ StringEquals: { 'aws:username': 'a', 'AWS:UserName': 'b' } }),
        'occurs twice',
      ],
      ['no value', condition({ StringEquals: { 'aws:username': [] } }), 'must have a value'],
      [
        'a number for a value',
        condition({ StringEquals: { 'aws:username': 1 } }),
        '1 is not a string',
      ],
      [
        'null for a value',
        condition({ StringEquals: { 'aws:username': null } }),
        'null is not a string',
      ],
      [
        'a variable in a value',
        condition({ StringEquals: { 'kms:EncryptionContext:u': '${aws:username}' } }),
        'policy variables',
      ],
      [
        'Bool of maybe',
        condition({ Bool: { 'aws:SecureTransport': 'maybe' } }),
        '"maybe" is not true or false',
      ],
      [
        'Null of maybe',
        condition({ Null: { 'aws:username': 'maybe' } }),
        'Null takes true or false',
      ],
      [
        'Bool of a string key',
        condition({ Bool: { 'aws:username': 'true' } }),
        'does not apply to a condition key of type string',
      ],
      [
        'ArnLike of a string key',
        condition({ ArnLike: { 'aws:username': 'arn:a:b:c:d:e' } }),
        'does not apply',
      ],
      ['ArnLike of no ARN', condition({ ArnLike: { 'aws:PrincipalArn': '*' } }), 'is not an ARN'],
      [
        'IpAddress of a string key',
        condition({ IpAddress: { 'aws:UserAgent': '10.0.0.1' } }),
        'does not apply',
      ],
      ...[
        '10.0.0.0/33',
        '10.0.0',
        '010.0.0.1',
        '::/129',
        'fe80::1%eth0',
        '10.0.0.1/',
        'localhost',
      ].map((value): [string, string, string] => [
        `the address ${value}`,
        condition({ IpAddress: { 'aws:SourceIp': value } }),
        'is not an IP address',
      ]),
      [
        'a set without its operator',
        condition({ StringEquals: { 'aws:TagKeys': 'a' } }),
        'needs ForAnyValue: or ForAllValues:',
      ],
      [
        'ForAllValues of an encryption context',
        condition({ 'ForAllValues:StringEquals': { 'kms:EncryptionContext:a': 'b' } }),
        'remove ForAllValues',
      ],
      [
        'ForAllValues of a request tag',
        condition({ 'ForAllValues:StringEquals': { 'aws:RequestTag/a': 'b' } }),
        'remove ForAllValues',
      ],
    ]
    for (const [title, policy, message] of cases)
      it(`ARCH-D13 refuses ${title}`, () =>
        expect(() => compilePolicy(policy, 'key'))
          .to.throw(PolicyError, message)
          .with.property('code', 'MALFORMED'))

    it('ARCH-D13 refuses a Principal in an identity policy, and a Sid that IAM refuses', () => {
      expect(() => policyOf(ALLOW_ALL, 'identity')).to.throw(
        PolicyError,
        'must not have a Principal',
      )
      expect(() => policyOf({ ...noPrincipal, Sid: 'a b' }, 'identity')).to.throw(
        PolicyError,
        'Sid',
      )
    })

    it('takes a policy without Version, and a Sid with spaces in a key policy', () =>
      expect(
        compilePolicy(statement({ Sid: 'a b' }), 'key').decide(question()).allows,
      ).to.have.length(1))

    it('writes one short line about a long name', () => {
      const policy = condition({ StringEquals: { [`aws:\n${'x'.repeat(500)}`]: 'a' } })
      expect(() => compilePolicy(policy, 'key')).to.throw(PolicyError, /^[^\n]{1,200}$/)
    })
  })

  describe('properties', () => {
    const statements = fc.array(
      fc.record({
        Effect: fc.constantFrom('Allow', 'Deny'),
        Principal: fc.constantFrom('*', { AWS: ALICE }, { AWS: ACCOUNT }, { AWS: '444455556666' }),
        Action: fc.constantFrom('kms:*', 'kms:Decrypt', 'kms:Enc*', '*'),
        Resource: fc.constantFrom('*', KEY, 'arn:aws:kms:*:*:alias/*'),
      }),
      { minLength: 1, maxLength: 8 },
    )

    it('a deny that matches always wins', () =>
      fc.assert(
        fc.property(statements, fc.nat(8), (list, at) => {
          const deny = { ...ALLOW_ALL, Effect: 'Deny' }
          const before = at % (list.length + 1)
          return decision([...list.slice(0, before), deny, ...list.slice(before)]) === 'deny'
        }),
      ))

    it('the order of statements does not matter', () =>
      fc.assert(
        fc.property(statements, (list) => {
          const sorted = (text: string) => text.split(',').toSorted().join()
          return sorted(decision(list)) === sorted(decision(list.toReversed()))
        }),
      ))
  })

  describe('an xks policy', () => {
    const ALLOW = { Effect: 'Allow', Principal: '*', Action: 'xks:*', Resource: '*' }
    const asked = { action: 'xks:Encrypt', resource: 'shop/orders' }

    it('XKS Z-01: names principals, actions and external keys', () => {
      const by = (changes: object) => decision({ ...ALLOW, ...changes }, asked, 'xks')
      expect(by({})).to.equal('anyone')
      expect(by({ Principal: { AWS: ALICE } })).to.equal('principal')
      expect(by({ Principal: { AWS: ACCOUNT } })).to.equal('account')
      expect(by({ Action: 'XKS:encrypt' })).to.equal('anyone')
      expect(by({ Action: ['xks:Decrypt', 'xks:Get*'] })).to.equal('')
      expect(by({ Condition: { Null: { 'xks:ViaService': 'true' } } })).to.equal('anyone')
    })

    const ANY = '*' // apart, as with a slash it would read like a comment
    const resources: [resource: string | string[], covers: boolean][] = [
      ['shop/orders', true],
      [`shop/${ANY}`, true],
      [`${ANY}/orders`, true],
      ['sh?p/ord*', true],
      [`${ANY}/${ANY}`, true],
      [[`other/${ANY}`, 'shop/orders'], true],
      [`other/${ANY}`, false],
      ['shop/order', false],
      ['Shop/orders', false],
      ['s*s/orders', false],
    ]
    for (const [Resource, covers] of resources)
      it(`${JSON.stringify(Resource)} ${covers ? 'covers' : 'does not cover'} shop/orders`, () =>
        expect(decision({ ...ALLOW, Resource }, asked, 'xks')).to.equal(covers ? 'anyone' : ''))

    const refused: [what: string, changes: object][] = [
      ['an action of another service', { Action: 'kms:Encrypt' }],
      ['an action that is none', { Action: 'xks:Reencrypt' }],
      ['an action that is never asked about', { Action: ['xks:Encrypt', 'xks:GetHealthStatus'] }],
      ['an ARN', { Resource: KEY }],
      ['a store without a key', { Resource: 'shop' }],
      ['a key without a store', { Resource: '/orders' }],
      ['a store with nothing behind it', { Resource: 'shop/' }],
      ['three parts', { Resource: 'a/b/c' }],
      ['a policy variable', { Resource: 'shop/${aws:username}' }],
      ['a condition key of AWS KMS', { Condition: { StringEquals: { 'kms:ViaService': 'ebs' } } }],
      ['a condition key of IAM', { Condition: { StringEquals: { 'aws:PrincipalArn': ALICE } } }],
      ['no principal', { Principal: undefined }],
      ['a service as principal', { Principal: { Service: 'ec2.amazonaws.com' } }],
    ]
    for (const [what, changes] of refused)
      it(`ARCH-D13: does not take ${what}`, () =>
        expect(() => policyOf({ ...ALLOW, ...changes }, 'xks')).to.throw(PolicyError))

    for (const kind of ['key', 'identity'] as const)
      it(`ARCH-D13: no ${kind} policy takes a condition key of ours`, () => {
        const { Principal: _, ...identity } = ALLOW_ALL
        const statement = kind === 'key' ? ALLOW_ALL : identity
        const Condition = { StringEquals: { 'xks:kmsOperation': 'Encrypt' } }
        expect(() => policyOf({ ...statement, Condition }, kind)).to.throw(
          PolicyError,
          'condition key',
        )
      })
  })

  describe('what an attacker writes', () => {
    const stars = '*'.repeat(10_000)
    const cases: [title: string, statement: object][] = [
      [
        'ten thousand stars',
        { Action: `kms:${stars}x`, Resource: `arn:aws:kms:${stars}:*:${stars}x` },
      ],
      ['stars and question marks in turn', { Action: `kms:${'?*'.repeat(5000)}` }],
      ['question marks in a row', { Resource: `arn:aws:kms:*:*:*${'?'.repeat(1000)}*x` }],
      ['as before an end that never comes', { Resource: `arn:aws:kms:*:*:${'*a'.repeat(1000)}*b` }],
      [
        'a long run before an end that never comes',
        { Resource: `arn:aws:kms:*:*:*${'a'.repeat(1000)}b*` },
      ],
      ['an ARN of colons', { Resource: `arn${':'.repeat(2048)}` }],
    ]
    for (const [title, changes] of cases)
      it(`AT-J09 decides ${title} in less than 5 ms`, () => {
        const policy = policyOf({ ...ALLOW_ALL, ...changes })
        const asked = question({
          resource: `arn:aws:kms:r:1:${'a'.repeat(2048)}`,
          action: `kms:${'a'.repeat(100)}`,
        })
        policy.decide(asked)
        const times = Array.from({ length: 5 }, () => {
          const start = performance.now()
          policy.decide(asked)
          return performance.now() - start
        })
        expect(Math.min(...times)).to.be.below(5)
      })
  })

  it('decides the default key policy in less than 2 µs', () => {
    const policy = compilePolicy(defaultKeyPolicy(ACCOUNT), 'key')
    const asked = question({ context: contextOf([['aws:SourceIp', '10.0.0.1']]) })
    const rounds = Array.from({ length: 5 }, () => {
      const start = performance.now()
      for (let i = 0; i < 20_000; i++) policy.decide(asked)
      return (performance.now() - start) / 20
    })
    expect(Math.min(...rounds)).to.be.below(2)
  })
})
