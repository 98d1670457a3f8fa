import { JsonCodec } from '@aws-sdk/core/protocols'
import type { NormalizedSchema } from '@smithy/core/schema'
import { camelName, type Structure } from './structure.ts'

export type Writer = (reply: object | undefined) => string

/** Gives a reply back its wire names. Values stay: AWS's codec writes them. */
type Renamer = (value: unknown) => unknown

/** Compiles the writer of a reply: our camelCase value in, JSON out. */
export function writerOf(schema: NormalizedSchema): Writer {
  if (schema.isUnitSchema()) return () => ''
  const codec = new JsonCodec({
    timestampFormat: { default: 7, useTrait: false }, // 7: epoch seconds, with a fraction
    jsonName: false,
  })
  codec.setSerdeContext({ base64Encoder } as never)
  const serializer = codec.createSerializer()
  const rename = renamerOf(schema)
  return (reply) => {
    serializer.write(schema, rename(reply ?? {}))
    return serializer.flush()
  }
}

function base64Encoder(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

function renamerOf(schema: NormalizedSchema): Renamer {
  if (schema.isStructSchema()) {
    const members = [...schema.structIterator()].map(([wireName, member]) => ({
      wireName,
      name: camelName(wireName),
      rename: renamerOf(member),
      emptyIsAbsent: wireName.endsWith('Algorithms'), // KMS-17: no algorithm list is empty; an empty list of keys is
    }))
    return (value) => {
      const structure: Structure = {}
      for (const { wireName, name, rename, emptyIsAbsent } of members) {
        const member = (value as Structure)[name]
        if (member === undefined || member === null) continue
        if (emptyIsAbsent && (member as unknown[]).length === 0) continue
        structure[wireName] = rename(member)
      }
      return structure
    }
  }
  if (schema.isListSchema() && schema.getValueSchema().isStructSchema()) {
    const rename = renamerOf(schema.getValueSchema())
    return (value) => (value as unknown[]).map(rename)
  }
  return (value) => value
}
