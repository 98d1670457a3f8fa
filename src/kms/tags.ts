import type { Tag } from './key.ts'
import { KmsError } from './kms-error.ts'
import { assertRoom, type ResourceQuotas } from './resource-quotas.ts'

/** A tag as a request carries it; the face has checked that nothing is missing. */
interface WrittenTag {
  readonly tagKey: string | undefined
  readonly tagValue: string | undefined
}

export function readTags(tags: readonly WrittenTag[] | undefined): readonly Tag[] {
  return (tags ?? []).map(({ tagKey = '', tagValue = '' }) => ({ tagKey, tagValue }))
}

/** Checks the tags of one request and sorts them by key (KMS-20). Throws TagException. */
export function checkTags(tags: readonly Tag[], quotas: ResourceQuotas): readonly Tag[] {
  const keys = tags.map((tag) => tag.tagKey)
  if (new Set(keys).size !== tags.length) throw new KmsError('TagException', 'Duplicate tag keys')
  assertRoom(quotas, 'tagsPerKey', 0, tags.length)
  assertNotReserved(keys)
  return tags.toSorted((a, b) => (a.tagKey < b.tagKey ? -1 : 1))
}

/** The tags of a key with `added` among them, each in the place of one with the same key. Throws TagException. */
export function withTags(
  present: readonly Tag[],
  added: readonly Tag[],
  quotas: ResourceQuotas,
): readonly Tag[] {
  checkTags(added, quotas)
  const replaced = added.map((tag) => tag.tagKey)
  return checkTags([...withoutTags(present, replaced), ...added], quotas)
}

/** The tags without those keys; a key that none has is no mistake. Throws TagException. */
export function withoutTags(present: readonly Tag[], tagKeys: readonly string[]): readonly Tag[] {
  assertNotReserved(tagKeys)
  const removed = new Set(tagKeys)
  return present.filter(({ tagKey }) => !removed.has(tagKey))
}

function assertNotReserved(tagKeys: readonly string[]): void {
  if (tagKeys.some((tagKey) => tagKey.toLowerCase().startsWith('aws:')))
    throw new KmsError('TagException', 'Tags beginning with aws: are reserved')
}
