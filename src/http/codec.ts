import type { NormalizedSchema } from '@smithy/core/schema'
import { parseStrictJson } from '../bytes/strict-json.ts'
import type { OperationName } from '../kms/operation-names.ts'
import { notJson, type Reader, readerOf } from './json-reader.ts'
import { type Writer, writerOf } from './json-writer.ts'
import { OPERATION_SCHEMAS } from './operation-schemas.ts'
import { camelName, type Structure } from './structure.ts'

/**
 * The members of a request, in camelCase. Maps keep the keys of the sender; members that AWS does not know are ignored.
 * Throws SerializationException for what is not JSON, or not of the type that AWS's schema says.
 *
 * ARCH-D17: readers and writers are compiled once from AWS's own schemas. AWS's deserializer is not used for requests: as it
 * trusts its service, it passes a number for a string, forgives Base64 and drops null entries of a map.
 */
export function decodeRequest(operation: OperationName, body: Buffer): Structure {
  const json = parseStrictJson(body)
  if (json === undefined) throw notJson()
  return codecOf(operation).read(json) as Structure
}

/** The reply as AWS would write it; undefined members are left out. An operation without output has an empty body (KMS-5). */
export function encodeReply(operation: OperationName, reply: object | undefined): string {
  return codecOf(operation).write(reply)
}

/** Overwrites the plaintext bytes of a request or reply that has been dealt with (ARCH-D6). */
export function wipeSensitive(operation: OperationName, structure: Structure): void {
  for (const name of codecOf(operation).sensitive) {
    const bytes = structure[name]
    if (bytes instanceof Uint8Array) bytes.fill(0)
  }
}

interface OperationCodec {
  readonly read: Reader
  readonly write: Writer
  readonly sensitive: readonly string[]
}

const CODECS = new Map<OperationName, OperationCodec>(
  OPERATION_SCHEMAS.entries().map(([name, { input, output }]) => [
    name,
    {
      read: readerOf(input),
      write: writerOf(output),
      sensitive: [...sensitiveMembers(input), ...sensitiveMembers(output)],
    },
  ]),
)

function codecOf(operation: OperationName): OperationCodec {
  const codec = CODECS.get(operation)
  if (codec === undefined) throw new TypeError(`no codec for ${operation}`)
  return codec
}

function sensitiveMembers(schema: NormalizedSchema): string[] {
  if (!schema.isStructSchema()) return []
  return [...schema.structIterator()]
    .filter(([, member]) => member.isBlobSchema() && member.getMergedTraits().sensitive)
    .map(([wireName]) => camelName(wireName))
}
