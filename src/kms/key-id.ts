import { KmsError } from './kms-error.ts'
import type { Caller } from './caller.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const MULTI_REGION_ID = /^mrk-[0-9a-f]{32}$/
const ARN = /^arn:aws:kms:([^:]*):(\d{12}):(.*)$/s

/** What a request says in place of a key, completed with the caller's account and region: a key, or an alias of one. */
export interface KeyName {
  readonly kind: 'key' | 'alias'
  /** ARN of the key, or of the alias. */
  readonly arn: string
  readonly accountId: string
}

export const ALIAS_PREFIX = 'alias/'

export function keyArn(region: string, accountId: string, keyId: string): string {
  return `arn:aws:kms:${region}:${accountId}:key/${keyId}`
}

export function aliasArn(region: string, accountId: string, aliasName: string): string {
  return `arn:aws:kms:${region}:${accountId}:${aliasName}`
}

/** The name of the alias by which a request names a key, `alias/…`; undefined where it gives an id or a key ARN. */
export function requestedAlias(keyId: string): string | undefined {
  if (keyId.startsWith(ALIAS_PREFIX)) return keyId
  const start = keyId.startsWith('arn:') ? keyId.indexOf(`:${ALIAS_PREFIX}`) : -1
  return start < 0 ? undefined : keyId.slice(start + 1)
}

export function isKeyId(text: string): boolean {
  return UUID.test(text) || MULTI_REGION_ID.test(text)
}

/**
 * Reads a KeyId parameter: an id or a key ARN (KMS-8), and where aliases are accepted an alias name or alias ARN; operations that
 * never take one say so like AWS (KMS-13). Throws NotFoundException, InvalidArnException.
 */
export function parseKeyId(
  text: string,
  caller: Pick<Caller, 'accountId' | 'region'>,
  aliases: 'accepted' | 'refused',
): KeyName {
  const { region, accountId, resource } = text.startsWith('arn:')
    ? parseArn(text, caller.region)
    : { region: caller.region, accountId: caller.accountId, resource: resourceOf(text) }
  if (resource.startsWith(ALIAS_PREFIX)) {
    if (aliases === 'accepted')
      return { kind: 'alias', arn: aliasArn(region, accountId, resource), accountId }
    // Recorded for alias names as for alias ARNs (2026-09).
    throw new KmsError('InvalidArnException', 'Key Aliases are not supported for this operation.')
  }
  const keyId = resource.startsWith('key/') ? resource.slice('key/'.length) : resource
  if (!isKeyId(keyId)) throw new KmsError('NotFoundException', `Invalid keyId '${text}'`)
  return { kind: 'key', arn: keyArn(region, accountId, keyId), accountId }
}

function resourceOf(text: string): string {
  return text.startsWith(ALIAS_PREFIX) ? text : `key/${text}`
}

function parseArn(text: string, callerRegion: string) {
  const [, region = '', accountId = '', resource = ''] = ARN.exec(text) ?? []
  if (accountId === '' || !/^(key|alias)\//.test(resource))
    throw new KmsError('NotFoundException', `Invalid arn ${text}`)
  // KMS-10: the text names the region of the ARN.
  if (region !== callerRegion) throw new KmsError('NotFoundException', `Invalid arn ${region}`)
  return { region, accountId, resource }
}

/** KMS-9: in one's own account a missing key is named by its ARN. */
export function keyNotFound(arn: string): KmsError {
  return new KmsError('NotFoundException', `Key '${arn}' does not exist`)
}

/** KMS-11 */
export function aliasNotFound(arn: string): KmsError {
  return new KmsError('NotFoundException', `Alias ${arn} is not found.`)
}
