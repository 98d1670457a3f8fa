import { fields } from '../bytes/fields.ts'
import { KmsError } from './kms-error.ts'

export type EncryptionContext = Readonly<Record<string, string>>

/**
 * The one byte form of an encryption context: the number of pairs, then each key and value behind its length, in the order of
 * the keys' UTF-8 bytes. Nothing is normalised: two spellings of one letter are two keys. Throws ValidationException for text
 * that has no UTF-8 form.
 */
export function canonicalContext(context: EncryptionContext | undefined): Buffer {
  const pairs = Object.entries(context ?? {})
  for (const [key, value] of pairs) assertWellFormed(key, value)
  const builder = fields().number(4, pairs.length)
  for (const { key, value } of inByteOrder(pairs)) builder.sized(4, key).sized(4, value)
  return builder.bytes()
}

function inByteOrder(pairs: readonly [string, string][]) {
  return pairs
    .map(([key, value]) => ({ key: Buffer.from(key, 'utf8'), value }))
    .sort((a, b) => Buffer.compare(a.key, b.key))
}

/** UTF-8 would turn every lone surrogate into the same U+FFFD, so that different contexts became equal. */
function assertWellFormed(key: string, value: string): void {
  if (key.isWellFormed() && value.isWellFormed()) return
  throw new KmsError('ValidationException', 'The encryption context is not valid Unicode.')
}
