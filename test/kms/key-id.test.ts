import { expect } from 'chai'
import { parseKeyId } from '../../src/kms/key-id.ts'
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
    [
      'KMS-11: an alias, with a full stop',
      'alias/x',
      `Alias arn:aws:kms:${REGION}:${ACCOUNT}:alias/x is not found.`,
    ],
    [
      'KMS-11: an alias ARN',
      `arn:aws:kms:${REGION}:${OTHER_ACCOUNT}:alias/x`,
      `Alias arn:aws:kms:${REGION}:${OTHER_ACCOUNT}:alias/x is not found.`,
    ],
  ]
  for (const [what, text, message] of refused)
    it(`${what}: NotFoundException`, () => {
      expect(() => parseKeyId(text, CALLER, 'accepted'))
        .to.throw(KmsError, message)
        .that.includes({ code: 'NotFoundException', message })
    })

  it('KMS-13: an alias is no key id where aliases are not taken', () => {
    expect(() => parseKeyId('alias/x', CALLER, 'refused')).to.throw(
      KmsError,
      "Invalid keyId 'alias/x'",
    )
  })
})
