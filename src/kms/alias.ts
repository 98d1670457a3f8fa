import type { Key } from './key.ts'
import { aliasArn } from './key-id.ts'

/** A friendly name for a key, unique in its account and region. Immutable, as a key is. */
export interface Alias {
  /** `arn:aws:kms:<region>:<account>:alias/<name>`: the name that storage knows it by. */
  readonly arn: string
  /** `alias/<name>` */
  readonly aliasName: string
  readonly accountId: string
  readonly region: string
  readonly targetKeyArn: string
  /** Epoch milliseconds. */
  readonly createdAt: number
  readonly lastUpdatedAt: number
}

/** A new alias of the key, in the key's account and region. */
export function newAlias(aliasName: string, key: Key, now: number): Alias {
  const { accountId, region, arn: targetKeyArn } = key
  const arn = aliasArn(region, accountId, aliasName)
  return { arn, aliasName, accountId, region, targetKeyArn, createdAt: now, lastUpdatedAt: now }
}
