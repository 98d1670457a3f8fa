import type { Tag } from './key.ts'
import { KmsError } from './kms-error.ts'

const MOST_TAGS = 50

/** Checks the tags of one request and sorts them by key (KMS-20). Throws TagException. */
export function checkTags(tags: readonly Tag[]): readonly Tag[] {
  const keys = new Set(tags.map((tag) => tag.tagKey))
  if (keys.size !== tags.length) throw new KmsError('TagException', 'Duplicate tag keys')
  if (tags.length > MOST_TAGS) throw new KmsError('TagException', 'Too many tags')
  if (tags.some((tag) => tag.tagKey.toLowerCase().startsWith('aws:')))
    throw new KmsError('TagException', 'Tags beginning with aws: are reserved')
  return tags.toSorted((a, b) => (a.tagKey < b.tagKey ? -1 : 1))
}
