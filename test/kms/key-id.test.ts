import { expect } from 'chai'
import { parseKeyId, requestedAlias } from '../../src/kms/key-id.ts'
import { KmsError } from '../../src/kms/kms-error.ts'
import { ACCOUNT, OTHER_ACCOUNT, REGION } from './rig.ts'

const CALLER = { accountId: ACCOUNT, region: REGION }
const UUID = '1234abcd-12ab-34cd-56ef-1234567890ab'
const MRK = `mrk-${'0123456789abcdef'.repeat(2)}`

describe('parseKeyId', () => {
  const accepted: [string, string, string][] = [
    ['a UUID', UUID, `arn:aws:kms:${REGION}:${ACCOUNT}:key/${UUID}`],
    ['a multi-Region id', MRK, `arn:aws:kms:${REGION}:${ACCOUNT}:key/${MRK}`],
    [
      'an ARN of another account',
      `arn:aws:kms:${REGION}:${OTHER_ACCOUNT}:key/${UUID}`,
      `arn:aws:kms:${REGION}:${OTHER_ACCOUNT}:key/${UUID}`,
    ],
  ]
  for (const [what, text, arn] of accepted)
    it(`KMS-8: takes ${what}`, () => {
      expect(parseKeyId(text, CALLER, 'accepted').arn).to.equal(arn)
    })

  const refused: [string, string, string][] = [
    ['KMS-8: an invented id, with quotes', 'fake-key-id', "Invalid keyId 'fake-key-id'"],
    [
      'KMS-8: a UUID without dashes',
      UUID.replaceAll('-', ''),
      `Invalid keyId '${UUID.replaceAll('-', '')}'`,
    ],
    ['KMS-8: capitals', UUID.toUpperCase(), `Invalid keyId '${UUID.toUpperCase()}'`],
    ['a name of Object.prototype', '__proto__', "Invalid keyId '__proto__'"],
    ['a line feed behind the id', `${UUID}\n`, `Invalid keyId '${UUID}\n'`],
    [
      'KMS-10: the region of an ARN from elsewhere',
      `arn:aws:kms:us-east-1:${ACCOUNT}:key/${UUID}`,
      'Invalid arn us-east-1',
    ],
    ['an ARN of another service', 'arn:aws:s3:::bucket', 'Invalid arn arn:aws:s3:::bucket'],
  ]
  for (const [what, text, message] of refused)
    it(`${what}: NotFoundException`, () => {
      expect(() => parseKeyId(text, CALLER, 'accepted'))
        .to.throw(KmsError, message)
        .that.includes({ code: 'NotFoundException', message })
    })

  for (const [what, text, account] of [
    ['an alias name', 'alias/x', ACCOUNT],
    ['an alias ARN', `arn:aws:kms:${REGION}:${ACCOUNT}:alias/x`, ACCOUNT],
    [
      'an alias ARN of another account',
      `arn:aws:kms:${REGION}:${OTHER_ACCOUNT}:alias/x`,
      OTHER_ACCOUNT,
    ],
  ] as const)
    it(`KMS-13: takes ${what} where aliases are accepted`, () => {
      expect(parseKeyId(text, CALLER, 'accepted')).to.deep.equal({
        kind: 'alias',
        arn: `arn:aws:kms:${REGION}:${account}:alias/x`,
        accountId: account,
      })
      expect(requestedAlias(text)).to.equal('alias/x')
    })

  it('KMS-10: refuses an alias ARN of another region', () => {
    expect(() => parseKeyId(`arn:aws:kms:us-east-1:${ACCOUNT}:alias/x`, CALLER, 'accepted'))
      .to.throw(KmsError, 'Invalid arn us-east-1')
      .with.property('code', 'NotFoundException')
  })

  for (const text of ['alias/x', `arn:aws:kms:${REGION}:${ACCOUNT}:alias/x`])
    it(`KMS-13: says that aliases are not supported where they are not: ${text}`, () => {
      expect(() => parseKeyId(text, CALLER, 'refused'))
        .to.throw(KmsError, 'Key Aliases are not supported for this operation.')
        .with.property('code', 'InvalidArnException')
    })

  it('a key is requested by no alias', () => {
    const arn = `arn:aws:kms:${REGION}:${ACCOUNT}:key/${UUID}`
    expect([UUID, arn, `key:alias/x`].map(requestedAlias)).to.deep.equal([
      undefined,
      undefined,
      undefined,
    ])
  })
})
