import { randomBytes, randomInt } from 'node:crypto'
import * as z from 'zod'
import { Sensitive } from '../bytes/sensitive.ts'
import type { Storage, XksCredentialRecord } from '../storage/storage.ts'
import { type NoteChange, UNRECORDED } from './administration.ts'
import type { AccessKey } from './aws-profile.ts'
import type { Installation } from './installation.ts'

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const ACCESS_KEY_ID_CHARACTERS = 26
const SECRET_BYTES = 48 // 64 Base64 characters, none of them padding

/** XKS A-06, as AWS KMS takes them. */
export const xksAccessKeyId = z
  .string()
  .regex(/^[A-Z2-7]{20,30}$/, 'must be 20 to 30 characters of A-Z and 2-7')

export const xksSecret = z
  .string()
  .regex(/^[A-Za-z0-9/+=]{43,64}$/, 'must be 43 to 64 characters of A-Z, a-z, 0-9, / + =')

const FILE_SCHEMA = z.object({ AccessKeyId: xksAccessKeyId, RawSecretAccessKey: xksSecret })

/** XKS: id and secret are drawn apart, so that the one tells nothing of the other; the secret has 384 bits. */
export function drawXksCredential(): AccessKey {
  const id = Array.from(
    { length: ACCESS_KEY_ID_CHARACTERS },
    () => BASE32[randomInt(BASE32.length)],
  )
  return {
    accessKeyId: id.join(''),
    secretAccessKey: new Sensitive(randomBytes(SECRET_BYTES).toString('base64')),
  }
}

/** Reads a credential as the AWS console takes it, alone or within the proxy's configuration. Throws Error in words. */
export function parseXksCredential(text: string): AccessKey {
  const document = parseJson(text)
  const inner = z.object({ XksProxyAuthenticationCredential: FILE_SCHEMA }).safeParse(document)
  const parsed = inner.success
    ? { success: true as const, data: inner.data.XksProxyAuthenticationCredential }
    : FILE_SCHEMA.safeParse(document)
  if (!parsed.success) throw new Error(z.prettifyError(parsed.error).replaceAll('\n', ' '))
  const { AccessKeyId, RawSecretAccessKey } = parsed.data
  return { accessKeyId: AccessKeyId, secretAccessKey: new Sensitive(RawSecretAccessKey) }
}

/** What `aws kms create-custom-key-store` and the console want to know of a proxy (XKS L-05). */
export function proxyConfiguration(uriPathPrefix: string, key: AccessKey): string {
  const configuration = {
    XksProxyUriPath: `${uriPathPrefix}/kms/xks/v1`,
    XksProxyAuthenticationCredential: {
      AccessKeyId: key.accessKeyId,
      RawSecretAccessKey: key.secretAccessKey.reveal(),
    },
  }
  return `${JSON.stringify(configuration, undefined, 2)}\n`
}

/**
 * Puts another credential of the store into storage, its secret sealed by the host key; those before it stay valid (XKS A-07).
 * Throws Error for an id that is in use, be it of another store (XKS A-04).
 */
export function addXksCredential(
  { storage, seal }: Pick<Installation, 'storage' | 'seal'>,
  storeName: string,
  { accessKeyId, secretAccessKey }: AccessKey,
  note: NoteChange = UNRECORDED,
): Promise<XksCredentialRecord> {
  const sealedSecret = seal.seal(secretAccessKey, accessKeyId)
  return storage.change((draft) => {
    if (!draft.findXksStore(storeName)) throw storeUnknown(storeName)
    const holder = draft.findXksCredential(accessKeyId)
    if (holder)
      throw new Error(`${accessKeyId} is a credential of the store ${holder.storeName} already`)
    const record = { accessKeyId, storeName, sealedSecret, createdAt: Date.now() }
    draft.putXksCredential(record)
    note(draft, { eventName: 'AddExternalKeyStoreCredential', parameters: namesOf(record) })
    return record
  })
}

/** What it signed is refused from now on. Throws Error for an id that nobody has. */
export function removeXksCredential(
  storage: Storage,
  accessKeyId: string,
  note: NoteChange = UNRECORDED,
): Promise<XksCredentialRecord> {
  return storage.change((draft) => {
    const credential = draft.findXksCredential(accessKeyId)
    if (!credential) throw new Error(`there is no credential ${accessKeyId}`)
    draft.removeXksCredential(accessKeyId)
    note(draft, { eventName: 'RemoveExternalKeyStoreCredential', parameters: namesOf(credential) })
    return credential
  })
}

/** All that the audit trail may know of one. */
function namesOf({ storeName, accessKeyId }: XksCredentialRecord) {
  return { storeName, accessKeyId }
}

export function storeUnknown(name: string): Error {
  return new Error(`there is no external key store ${name}; see: hsm-bridge xks store list`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('the credential is not JSON') // what the parser says may quote the secret
  }
}
