import { KmsError } from './kms-error.ts'
import type { Caller } from './caller.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const MULTI_REGION_ID = /^mrk-[0-9a-f]{32}$/
const ARN = /^arn:aws:kms:([^:]*):(\d{12}):(.*)$/s

/** A key as a request names it, completed with the caller's account and region. */
export interface NamedKey {
  readonly arn: string
  readonly accountId: string
  readonly keyId: string
}

export function keyArn(region: string, accountId: string, keyId: string): string {
  return `arn:aws:kms:${region}:${accountId}:key/${keyId}`
}

export function isKeyId(text: string): boolean {
  return UUID.test(text) || MULTI_REGION_ID.test(text)
}

/**
 * Reads a KeyId parameter: an id or a key ARN (KMS-8). Aliases come with their own issue: until then no alias is found (KMS-11),
 * and operations that never take one say so like AWS (KMS-13). Throws NotFoundException.
 */
export function parseKeyId(
  text: string,
  caller: Pick<Caller, 'accountId' | 'region'>,
  aliases: 'accepted' | 'refused',
): NamedKey {
  const { region, accountId, resource } = text.startsWith('arn:')
    ? parseArn(text, caller.region)
    : { region: caller.region, accountId: caller.accountId, resource: resourceOf(text) }
  if (resource.startsWith('alias/') && aliases === 'accepted')
    throw new KmsError(
      'NotFoundException',
      `Alias arn:aws:kms:${region}:${accountId}:${resource} is not found.`,
    )
  const keyId = resource.startsWith('key/') ? resource.slice('key/'.length) : resource
  if (!isKeyId(keyId)) throw new KmsError('NotFoundException', `Invalid keyId '${text}'`)
  return { arn: keyArn(region, accountId, keyId), accountId, keyId }
}

function resourceOf(text: string): string {
  return text.startsWith('alias/') ? text : `key/${text}`
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
