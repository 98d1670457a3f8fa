import * as client from '@aws-sdk/client-kms'
import type { NormalizedSchema } from '@smithy/core/schema'
import { expect } from 'chai'
import { CONSTRAINTS, MEMBER_SHAPES } from '../../src/http/constraints.ts'
import { OPERATION_SCHEMAS } from '../../src/http/operation-schemas.ts'
import { validateRequest } from '../../src/http/validator.ts'
import { KmsError } from '../../src/kms/kms-error.ts'
import type { OperationName } from '../../src/kms/operation-names.ts'

const KEY_SPEC_SET = // as recorded, but for what AWS has added since
  '[RSA_2048, ECC_NIST_P384, ECC_NIST_P256, ECC_NIST_P521, HMAC_384, RSA_3072, ECC_SECG_P256K1, RSA_4096, SYMMETRIC_DEFAULT, HMAC_256, HMAC_224, HMAC_512, ML_DSA_44, ML_DSA_65, ML_DSA_87, ECC_NIST_EDWARDS25519, ML_KEM_512, ML_KEM_768, ML_KEM_1024]'

const keyId = 'alias/a'
const plaintext = Buffer.from('p')

/** Operation, input, and the failures that AWS lists for it. */
const REFUSED: readonly [OperationName, Record<string, unknown>, ...string[]][] = [
  [
    'DescribeKey',
    {},
    "Value null at 'keyId' failed to satisfy constraint: Member must not be null",
  ],
  [
    'DescribeKey',
    { keyId: '' },
    "Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1",
  ],
  [
    'DescribeKey',
    { keyId: 'k'.repeat(2049) },
    `Value '${'k'.repeat(2049)}' at 'keyId' failed to satisfy constraint: Member must have length less than or equal to 2048`,
  ],
  [
    'Encrypt',
    { keyId, plaintext: Buffer.alloc(0) },
    "Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1",
  ],
  [
    'Encrypt',
    { keyId, plaintext: Buffer.alloc(4097) },
    "Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096",
  ],
  [
    'Decrypt',
    { ciphertextBlob: Buffer.alloc(6145) },
    "Value at 'ciphertextBlob' failed to satisfy constraint: Member must have length less than or equal to 6144",
  ],
  [
    'Encrypt',
    {},
    "Value null at 'keyId' failed to satisfy constraint: Member must not be null",
    "Value null at 'plaintext' failed to satisfy constraint: Member must not be null",
  ],
  [
    'Encrypt',
    { keyId, plaintext, encryptionContext: { a: '1', b: null } },
    "Value '{a=1, b=null}' at 'encryptionContext' failed to satisfy constraint: Map value must satisfy constraint: [Member must not be null]",
  ],
  [
    'Encrypt',
    { keyId, plaintext, grantTokens: Array(11).fill('t') },
    "Value '[t, t, t, t, t, t, t, t, t, t, t]' at 'grantTokens' failed to satisfy constraint: Member must have length less than or equal to 10",
  ],
  [
    'Encrypt',
    { keyId, plaintext, grantTokens: ['ok', ''] },
    "Value '[ok, ]' at 'grantTokens' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 8192, Member must have length greater than or equal to 1]",
  ],
  [
    'Encrypt',
    { keyId, plaintext, grantTokens: [null] },
    "Value '[null]' at 'grantTokens' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 8192, Member must have length greater than or equal to 1, Member must not be null]",
  ],
  [
    'CreateKey',
    { keySpec: 'AES_256' },
    `Value 'AES_256' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: ${KEY_SPEC_SET}`,
  ],
  [
    'CreateKey',
    {
      tags: [
        { tagKey: 'a', tagValue: '' },
        { tagKey: '', tagValue: 'v'.repeat(257) },
      ],
    },
    "Value '' at 'tags.2.member.tagKey' failed to satisfy constraint: Member must have length greater than or equal to 1",
    `Value '${'v'.repeat(257)}' at 'tags.2.member.tagValue' failed to satisfy constraint: Member must have length less than or equal to 256`,
  ],
  [
    'CreateKey',
    { tags: [{ tagKey: 'a' }, null] },
    "Value null at 'tags.1.member.tagValue' failed to satisfy constraint: Member must not be null",
    "Value null at 'tags.2.member' failed to satisfy constraint: Member must not be null",
  ],
  [
    'CreateKey',
    { policy: '\u20ac' },
    "Value '\u20ac' at 'policy' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\u0009\\u000A\\u000D\\u0020-\\u00FF]+",
  ],
  [
    'GenerateDataKey',
    { keyId, keySpec: 'RSA_2048' },
    "Value 'RSA_2048' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [AES_256, AES_128]",
  ],
  [
    'GenerateDataKey',
    { keyId, numberOfBytes: 1025 },
    "Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024",
  ],
  [
    'ScheduleKeyDeletion',
    { keyId, pendingWindowInDays: 0 },
    "Value '0' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value greater than or equal to 1",
  ],
  [
    'ListKeys',
    { limit: 1001, marker: '' },
    "Value '1001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 1000",
    "Value '' at 'marker' failed to satisfy constraint: Member must have length greater than or equal to 1",
  ],
  [
    'CreateAlias',
    { aliasName: 'alias/a b', targetKeyId: 'k' },
    "Value 'alias/a b' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
  ],
  [
    'VerifyMac',
    { keyId, message: plaintext, mac: plaintext, macAlgorithm: 'HMAC_MD5' },
    "Value 'HMAC_MD5' at 'macAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [HMAC_SHA_384, HMAC_SHA_256, HMAC_SHA_224, HMAC_SHA_512]",
  ],
  [
    'DeriveSharedSecret',
    { keyId, keyAgreementAlgorithm: 'X', publicKey: plaintext },
    "Value 'X' at 'keyAgreementAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [ECDH]",
  ],
  [
    'Decrypt',
    { recipient: { attestationDocument: Buffer.alloc(0) } },
    "Value at 'recipient.attestationDocument' failed to satisfy constraint: Member must have length greater than or equal to 1",
  ],
  [
    'CreateCustomKeyStore',
    { customKeyStoreName: 'n', keyStorePassword: 'hunter' },
    "Value at 'keyStorePassword' failed to satisfy constraint: Member must have length greater than or equal to 7",
  ],
]

describe('validateRequest', () => {
  for (const [operation, input, ...failures] of REFUSED) {
    it(`KMS-6: ${operation}: ${failures.join('; ').slice(0, 150)}`, () => {
      const count =
        failures.length === 1 ? '1 validation error' : `${failures.length} validation errors`
      expect(() => validateRequest(operation, input))
        .to.throw(KmsError, `${count} detected: ${failures.join('; ')}`)
        .and.include({ code: 'ValidationException' })
    })
  }

  for (const [operation, input] of [
    ['Encrypt', { keyId, plaintext: Buffer.alloc(4096), grantTokens: Array(10).fill('t') }],
    ['Encrypt', { keyId, plaintext, encryptionContext: { '': '' } }],
    ['Decrypt', {}],
    ['Decrypt', { ciphertextBlob: Buffer.alloc(6144), dryRunModifiers: ['IGNORE_CIPHERTEXT'] }],
    ['CreateKey', { description: '', tags: [{ tagKey: 'k'.repeat(128), tagValue: '' }] }],
    ['CreateKey', { policy: '{\n\t"é": "\u00ff"\r}', keySpec: 'ML_KEM_768', origin: 'EXTERNAL' }],
    ['GenerateDataKey', { keyId, keySpec: 'AES_128', numberOfBytes: 1 }],
    ['ScheduleKeyDeletion', { keyId, pendingWindowInDays: 365 }],
    ['ListKeys', { limit: 1000 }],
    ['RotateKeyOnDemand', { keyId: 'k'.repeat(2048) }],
  ] as const) {
    it(`lets ${operation} ${JSON.stringify(input).slice(0, 60)} pass`, () => {
      expect(() => validateRequest(operation, input)).not.to.throw()
    })
  }

  it('does not search a text that is too long', () => {
    const input = { keyId, policy: `${'a'.repeat(1_000_000)}\u20ac`, policyName: 'default' }
    expect(() => validateRequest('PutKeyPolicy', input)).to.throw(/^1 validation error detected/)
  })
})

describe('the table of constraints', () => {
  it('KMS-7: prints enum sets in the recorded order, and every value is one of AWS’s', () => {
    expect(CONSTRAINTS.MacAlgorithmSpec.values.join()).to.match(
      /^HMAC_SHA_384,HMAC_SHA_256,HMAC_SHA_224/,
    )
    for (const [shape, constraint] of Object.entries(CONSTRAINTS)) {
      if (!('values' in constraint)) continue
      const known = Object.values(client[shape as 'KeySpec'])
      expect(known, shape).to.include.members([...constraint.values])
      const left = known.filter(
        (value) => !(constraint.values as readonly string[]).includes(value),
      )
      expect(left, shape).to.deep.equal(left.includes('SM2') ? ['SM2'] : [])
    }
  })

  it('names only members that requests have', () => {
    const members = new Set<string>()
    for (const { input } of OPERATION_SCHEMAS.values()) collectMembers(input, members)
    expect([...members]).to.include.members(Object.keys(MEMBER_SHAPES))
  })

  it('reaches every constrained shape from a member', () => {
    const shapes = new Set<string>(Object.values(MEMBER_SHAPES))
    for (const row of Object.values(CONSTRAINTS)) if ('members' in row) shapes.add(row.members)
    expect(Object.keys(CONSTRAINTS).filter((shape) => !shapes.has(shape))).to.deep.equal([])
  })
})

function collectMembers(schema: NormalizedSchema, members: Set<string>): void {
  if (schema.isListSchema()) return collectMembers(schema.getValueSchema(), members)
  if (!schema.isStructSchema()) return
  for (const [name, member] of schema.structIterator()) {
    members.add(name).add(`${schema.getName()}.${name}`)
    collectMembers(member, members)
  }
}
