import { JsonCodec } from '@aws-sdk/core/protocols'
import type { NormalizedSchema } from '@smithy/core/schema'
import { expect } from 'chai'
import { decodeRequest, encodeReply, wipeSensitive } from '../../src/http/codec.ts'
import { OPERATION_SCHEMAS } from '../../src/http/operation-schemas.ts'
import { camelName } from '../../src/http/structure.ts'
import { KmsError } from '../../src/kms/kms-error.ts'
import { OPERATION_NAMES, type OperationName } from '../../src/kms/operation-names.ts'

const AWS = new JsonCodec({ timestampFormat: { default: 7, useTrait: false }, jsonName: false })

describe('camelName', () => {
  for (const [wireName, name] of [
    ['KeyId', 'keyId'],
    ['AWSAccountId', 'awsAccountId'],
    ['Arn', 'arn'],
    ['XksKeyConfiguration', 'xksKeyConfiguration'],
    ['AWS', 'aws'],
  ] as const) {
    it(`writes ${wireName} as ${name}`, () => expect(camelName(wireName)).to.equal(name))
  }

  it('keeps the members of each structure apart', () => {
    for (const { input, output } of OPERATION_SCHEMAS.values())
      for (const schema of [input, output].filter((s) => s.isStructSchema())) {
        const names = [...schema.structIterator()].map(([wireName]) => camelName(wireName))
        expect(new Set(names).size).to.equal(names.length)
      }
  })
})

describe('ARCH-D17: the codec against AWS’s own', () => {
  it('has all 56 operations', () => {
    expect([...OPERATION_SCHEMAS.keys()])
      .to.deep.equal([...OPERATION_NAMES])
      .and.have.lengthOf(56)
  })

  for (const [operation, { input, output }] of OPERATION_SCHEMAS) {
    it(`${operation}: reads a full request that AWS’s codec wrote`, () => {
      const { wire, ours } = sample(input)
      expect(decodeRequest(operation, writtenByAws(input, wire))).to.deep.equal(ours)
    })

    if (output.isUnitSchema()) {
      it(`KMS-5: ${operation} has an empty reply`, () => {
        expect(encodeReply(operation, undefined)).to.equal('')
        expect(encodeReply(operation, { keyId: 'x' })).to.equal('')
      })
    } else {
      it(`${operation}: writes a full reply that AWS’s codec reads`, async () => {
        const { wire, ours } = sample(output)
        const read = await AWS.createDeserializer().read(
          output,
          encodeReply(operation, ours as object),
        )
        expect(withPlainBytes(read)).to.deep.equal(wire)
      })
    }
  }
})

describe('decodeRequest', () => {
  it('leaves the keys and values of a map as they came', () => {
    const context = { KeyId: 'A', AWSAccountId: 'B', é: '\u0000', '': '' }
    const input = decode('Encrypt', { EncryptionContext: context })
    expect(input).to.deep.equal({ encryptionContext: context })
  })

  it('AT-J02: treats __proto__ and constructor as data, in maps and as members', () => {
    const body = Buffer.from(
      '{"EncryptionContext":{"__proto__":"p","constructor":"c","toString":"t"},"__proto__":{"KeyId":"x"},"constructor":1}',
    )
    const input = decodeRequest('Encrypt', body)
    expect(Object.keys(input)).to.deep.equal(['encryptionContext'])
    expect(Object.entries(input['encryptionContext'] as object)).to.deep.equal([
      ['__proto__', 'p'],
      ['constructor', 'c'],
      ['toString', 't'],
    ])
    expect(({} as Record<string, unknown>)['KeyId']).to.equal(undefined)
  })

  it('ignores members that AWS does not know, and takes null for absent', () => {
    expect(decode('ListKeys', { Limit: null, Bogus: { deep: [1] } })).to.deep.equal({})
  })

  it('reads epoch seconds with a fraction', () => {
    expect(decode('ImportKeyMaterial', { ValidTo: 1700000000.123 })).to.deep.equal({
      validTo: new Date(1700000000123),
    })
  })

  it('does not change the bytes it reads', () => {
    const body = Buffer.from('{"KeyId":"a"}')
    decodeRequest('Encrypt', body)
    expect(body.toString('utf8')).to.equal('{"KeyId":"a"}')
  })

  for (const [what, member, message] of [
    ['a number for a string', { KeyId: 5 }, 'NUMBER_VALUE can not be converted to a String'],
    ['true for a string', { KeyId: true }, 'TRUE_VALUE can not be converted to a String'],
    ['false for a string', { KeyId: false }, 'FALSE_VALUE can not be converted to a String'],
    ['a list for a string', { KeyId: ['a'] }, 'Start of list found where not expected'],
    [
      'a structure for a string',
      { KeyId: {} },
      'Start of structure or map found where not expected.',
    ],
    ['a number for bytes', { Plaintext: 7 }, 'NUMBER_VALUE can not be converted to a Blob'],
    ['a list for bytes', { Plaintext: [1] }, 'Start of list found where not expected'],
    ['a string for a boolean', { DryRun: 'yes' }, 'STRING_VALUE can not be converted to a Boolean'],
    ['a string for a list', { GrantTokens: 'x' }, 'Expected list or null'],
    [
      'a structure for a list',
      { GrantTokens: {} },
      'Start of structure or map found where not expected.',
    ],
    ['a number in a list', { GrantTokens: [1] }, 'NUMBER_VALUE can not be converted to a String'],
    ['a list for a map', { EncryptionContext: [] }, 'Start of list found where not expected'],
    ['a string for a map', { EncryptionContext: 'x' }, 'Expected map or null'],
    [
      'a number in a map',
      { EncryptionContext: { a: 1 } },
      'NUMBER_VALUE can not be converted to a String',
    ],
  ] as const) {
    it(`refuses ${what} in AWS’s words`, () => {
      expectRefused(() => decode('Encrypt', member), message)
    })
  }

  it('refuses a string for an integer and for a structure in AWS’s words', () => {
    const integer = 'STRING_VALUE can not be converted to an Integer'
    expectRefused(() => decode('ListKeys', { Limit: '1' }), integer)
    expectRefused(() => decode('Decrypt', { Recipient: 'x' }), 'Expected null')
  })

  for (const body of ['[]', 'null', '"x"', '1']) {
    it(`refuses the body ${body}`, () => {
      const message = body === '[]' ? 'Start of list found where not expected' : 'Expected null'
      expectRefused(() => decodeRequest('ListKeys', Buffer.from(body)), message)
    })
  }

  for (const base64 of ['***', 'QQ', 'QR==', 'QQ==\n', ' QQ==', 'QQ-_', 'QQ==QQ==', 'Q===']) {
    it(`KMS-2: refuses the Base64 ${JSON.stringify(base64)} without a message`, () => {
      expectRefused(() => decode('Encrypt', { Plaintext: base64 }))
    })
  }

  for (const [what, body] of [
    ['in a string', '{"KeyId":"\\ud800"}'],
    ['in a context value', '{"EncryptionContext":{"a":"\\udfff"}}'],
    ['in a context key', '{"EncryptionContext":{"\\ud800x":"a"}}'],
  ] as const) {
    it(`AT-J05: refuses a lone surrogate ${what}`, () => {
      expectRefused(() => decodeRequest('Encrypt', Buffer.from(body)))
    })
  }

  for (const number of ['1.5', '1e400', '9007199254740993']) {
    it(`AT-J04: refuses the integer ${number}`, () => {
      expectRefused(() => decodeRequest('ListKeys', Buffer.from(`{"Limit":${number}}`)))
    })
  }
})

describe('encodeReply', () => {
  it('writes bytes in Base64, times in epoch seconds, and only what AWS knows', () => {
    const keyMetadata = {
      awsAccountId: '111122223333',
      creationDate: new Date(1700000000123),
      enabled: false,
      description: '',
      deletionDate: undefined,
      internalRow: 7,
    }
    expect(JSON.parse(encodeReply('DescribeKey', { keyMetadata, extra: 1 }))).to.deep.equal({
      KeyMetadata: {
        AWSAccountId: '111122223333',
        CreationDate: 1700000000.123,
        Enabled: false,
        Description: '',
      },
    })
    const reply = { plaintext: Buffer.from('a slice of a larger buffer').subarray(2, 7) }
    expect(JSON.parse(encodeReply('Decrypt', reply))).to.deep.equal({ Plaintext: 'c2xpY2U=' })
  })

  it('KMS-17: leaves out an empty algorithm list, and keeps an empty list of keys', () => {
    const keyMetadata = {
      keyId: 'a',
      encryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
      macAlgorithms: [],
    }
    expect(JSON.parse(encodeReply('CreateKey', { keyMetadata }))).to.deep.equal({
      KeyMetadata: { KeyId: 'a', EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'] },
    })
    const none = encodeReply('ListKeys', { keys: [], truncated: false })
    expect(JSON.parse(none)).to.deep.equal({ Keys: [], Truncated: false })
  })
})

describe('wipeSensitive', () => {
  it('ARCH-D6: overwrites plaintexts and nothing else', () => {
    const reply = {
      plaintext: Buffer.from('secret'),
      ciphertextBlob: Buffer.from('blob'),
      keyId: 'a',
    }
    wipeSensitive('GenerateDataKey', reply)
    expect(reply.plaintext).to.deep.equal(Buffer.alloc(6))
    expect(reply.ciphertextBlob.toString()).to.equal('blob')
    const input = { plaintext: Buffer.from('secret') }
    wipeSensitive('Encrypt', input)
    expect(input.plaintext).to.deep.equal(Buffer.alloc(6))
  })
})

function decode(operation: OperationName, body: object): object {
  return decodeRequest(operation, Buffer.from(JSON.stringify(body)))
}

function expectRefused(read: () => unknown, message?: string): void {
  try {
    read()
  } catch (error) {
    expect(error).to.be.instanceOf(KmsError)
    expect(error).to.include({
      code: 'SerializationException',
      message: message ?? '',
      hasMessage: message !== undefined,
    })
    return
  }
  expect.fail('was accepted')
}

/** A value with every member of a schema, in AWS's names and in ours. */
function sample(schema: NormalizedSchema): { wire: unknown; ours: unknown } {
  if (schema.isStructSchema()) {
    const wire: Record<string, unknown> = {}
    const ours: Record<string, unknown> = {}
    for (const [wireName, member] of schema.structIterator()) {
      const value = sample(member)
      wire[wireName] = value.wire
      ours[camelName(wireName)] = value.ours
    }
    return { wire, ours }
  }
  if (schema.isListSchema()) {
    const { wire, ours } = sample(schema.getValueSchema())
    return { wire: [wire, wire], ours: [ours, ours] }
  }
  const value = sampleScalar(schema)
  return { wire: value, ours: value }
}

function sampleScalar(schema: NormalizedSchema): unknown {
  if (schema.isMapSchema()) return { KeyId: 'value', 'naïve “key”': '\u{1f511}\\"' }
  if (schema.isBlobSchema()) return Buffer.from([0, 1, 254, 255])
  if (schema.isTimestampSchema()) return new Date(1700000000500)
  if (schema.isBooleanSchema()) return false
  if (schema.isNumericSchema()) return 42
  return `text of ${schema.getMemberName()}`
}

function writtenByAws(schema: NormalizedSchema, value: unknown): Buffer {
  const serializer = AWS.createSerializer()
  serializer.write(schema, value)
  return Buffer.from(serializer.flush())
}

/** AWS's deserializer gives an adapter class for bytes. */
function withPlainBytes(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value)
  if (Array.isArray(value)) return value.map(withPlainBytes)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, withPlainBytes(v)]))
}
