import { expect } from 'chai'
import fc from 'fast-check'
import { compilePolicy } from '../../src/policy/compile-policy.ts'
import type { PolicyQuestion } from '../../src/policy/compiled-policy.ts'
import { evaluate, type PlainStatement } from './naive-evaluator.ts'

const POLICIES = Number(process.env['POLICIES'] ?? 10_000)
const SEED = Number(process.env['POLICY_SEED'] ?? 20261122)

const ACCOUNTS = ['111122223333', '444455556666']
const ARNS = ACCOUNTS.flatMap((account) =>
  ['root', 'user/alice', 'user/team/bob', 'role/admin'].map(
    (name) => `arn:aws:iam::${account}:${name}`,
  ),
)
const RESOURCES = ACCOUNTS.flatMap((account) =>
  ['eu-west-1', 'us-east-1'].flatMap((region) =>
    ['key/aa-11', 'key/ab-11', 'alias/a:b'].map((id) => `arn:aws:kms:${region}:${account}:${id}`),
  ),
)
const ACTIONS = ['kms:Decrypt', 'kms:Encrypt', 'kms:GenerateDataKey', 'kms:ListKeys']
const TEXTS = ['alice', 'Alice', 'bob', 'a', '', 'al*e']
const ADDRESSES = ['10.0.0.1', '10.1.0.1', '192.0.2.7', '2001:db8::1', '2001:db9::1']

const isArn = (text: string) => /^arn:([^:]*:){4}/.test(text)

const oneOrMore = <T>(one: fc.Arbitrary<T>) =>
  fc.oneof(one, fc.array(one, { minLength: 1, maxLength: 3 }))

/** The text with some of its characters made wildcards. */
const blurred = (texts: fc.Arbitrary<string>) =>
  fc
    .tuple(texts, fc.nat(40), fc.nat(6), fc.constantFrom('*', '?', ''))
    .map(([text, from, length, star]) =>
      star === '' || text.slice(from, from + length).includes(':')
        ? text
        : text.slice(0, from) + star + text.slice(star === '?' ? from + 1 : from + length),
    )

const action = fc.oneof(
  fc.constantFrom('*', 'kms:*', 'KMS:decrypt', 'kms:Gen*', 'kms:?ncrypt', 's3:*'),
  fc.constantFrom(...ACTIONS),
)
const resource = fc.oneof(fc.constant('*'), blurred(fc.constantFrom(...RESOURCES)).filter(isArn))
const principal = fc.oneof(
  fc.constant('*' as const),
  fc.record({ AWS: oneOrMore(fc.constantFrom('*', ...ACCOUNTS, ...ARNS)) }),
)

const STRING_OPERATORS = ['', 'Not'].flatMap((not) =>
  ['Equals', 'EqualsIgnoreCase', 'Like'].map((way) => `String${not}${way}`),
)
const ARN_OPERATORS = ['ArnEquals', 'ArnLike', 'ArnNotEquals', 'ArnNotLike']

const optionally = (operators: string[], suffix: string) =>
  fc.constantFrom(...operators, ...operators.map((operator) => operator + suffix))

function test(operator: fc.Arbitrary<string>, keys: string[], value: fc.Arbitrary<string>) {
  return fc
    .tuple(operator, fc.dictionary(fc.constantFrom(...keys), oneOrMore(value), { minKeys: 1 }))
    .map(([name, tests]) => ({ [name]: { ...tests } }))
}

const arnPattern = blurred(fc.constantFrom(...ARNS)).filter(isArn)
const text = fc.constantFrom(...TEXTS)
const condition = fc
  .array(
    fc.oneof(
      test(
        optionally(STRING_OPERATORS, 'IfExists'),
        ['aws:username', 'kms:EncryptionContext:Dept', 'kms:ViaService'],
        blurred(text),
      ),
      test(optionally(STRING_OPERATORS, 'IfExists'), ['aws:PrincipalArn'], arnPattern),
      test(optionally(ARN_OPERATORS, 'IfExists'), ['aws:PrincipalArn'], arnPattern),
      test(
        optionally(
          STRING_OPERATORS.flatMap((name) => [`ForAllValues:${name}`, `ForAnyValue:${name}`]),
          'IfExists',
        ),
        ['kms:EncryptionContextKeys', 'aws:TagKeys'],
        blurred(text),
      ),
      test(
        optionally(['Bool'], 'IfExists'),
        ['aws:SecureTransport', 'kms:MultiRegion'],
        fc.constantFrom('true', 'false', 'True'),
      ),
      test(
        optionally(['IpAddress', 'NotIpAddress'], 'IfExists'),
        ['aws:SourceIp'],
        fc.constantFrom(
          ...ADDRESSES,
          '10.0.0.0/8',
          '10.0.0.0/15',
          '0.0.0.0/0',
          '2001:db8::/31',
          '::/0',
        ),
      ),
      test(
        fc.constant('Null'),
        ['aws:username', 'kms:EncryptionContextKeys', 'aws:SourceIp'],
        fc.constantFrom('true', 'false'),
      ),
    ),
    { maxLength: 2 },
  )
  .map((tests): Record<string, Record<string, string | string[]>> => Object.assign({}, ...tests))

const statement: fc.Arbitrary<PlainStatement> = fc.record(
  {
    Effect: fc.constantFrom('Allow' as const, 'Allow' as const, 'Deny' as const),
    Principal: principal,
    Action: oneOrMore(action),
    Resource: oneOrMore(resource),
    Condition: condition,
  },
  { requiredKeys: ['Effect', 'Principal', 'Action', 'Resource'] },
)

const values = fc.array(text, { minLength: 1, maxLength: 3 })
const context = fc
  .record(
    {
      'aws:username': text.map((value) => [value]),
      'kms:encryptioncontext:dept': fc.oneof(
        text.map((value) => [value]),
        values,
      ),
      'kms:encryptioncontextkeys': values,
      'aws:tagkeys': values,
      'aws:principalarn': fc.constantFrom(...ARNS).map((value) => [value]),
      'aws:securetransport': fc.constantFrom(['true'], ['false']),
      'kms:multiregion': fc.constantFrom(['true'], ['false']),
      'aws:sourceip': fc.constantFrom(...ADDRESSES).map((value) => [value]),
    },
    { requiredKeys: [] },
  )
  .map((facts) => new Map<string, readonly string[]>(Object.entries(facts)))

const question: fc.Arbitrary<PolicyQuestion> = fc.record({
  principal: fc
    .constantFrom(...ARNS)
    .map((arn) => ({ arn, accountId: arn.split(':')[4] as string })),
  action: fc.constantFrom(...ACTIONS),
  resource: fc.constantFrom('*', ...RESOURCES),
  context,
})

describe(`${POLICIES} random policies, seed ${SEED}`, () => {
  it('AT-Z16 are decided as a naive evaluator decides them', function () {
    this.timeout(120_000)
    const seen = { deny: 0, allow: 0, nothing: 0 }
    fc.assert(
      fc.property(
        fc.array(statement, { minLength: 1, maxLength: 4 }),
        fc.array(question, { minLength: 3, maxLength: 3 }),
        (statements, questions) => {
          const policy = compilePolicy(JSON.stringify({ Statement: statements }), 'key')
          for (const asked of questions) {
            const { denies, allows } = evaluate(statements, asked)
            const decided = policy.decide(asked)
            expect(decided).to.deep.equal(
              denies.length > 0 ? { deny: denies[0], allows: [] } : { allows },
            )
            seen[denies.length > 0 ? 'deny' : allows.length > 0 ? 'allow' : 'nothing'] += 1
          }
        },
      ),
      { numRuns: POLICIES, seed: SEED },
    )
    for (const count of Object.values(seen)) expect(count).to.be.above(POLICIES / 20)
  })
})
