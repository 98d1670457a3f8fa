import type { XksOperation } from './proxy.ts'

/** What the path of a request names. */
export interface UriPath {
  readonly uriPathPrefix: string
  readonly operation: XksOperation
  /** Undefined for GetHealthStatus. */
  readonly externalKeyId: string | undefined
}

// XKS U-11: the version is part of the path, and there is one.
const BASE = '/kms/xks/v1'
const HEALTH = `${BASE}/health`
const KEYS = `${BASE}/keys`
const MAX_TARGET_CHARACTERS = 256 // XKS U-03
const MAX_URI_PATH_CHARACTERS = 128 // XKS U-02: prefix and base together

const KEY_OPERATIONS: ReadonlyMap<string, XksOperation> = new Map([
  ['metadata', 'GetKeyMetadata'],
  ['encrypt', 'Encrypt'],
  ['decrypt', 'Decrypt'],
])

const PREFIX = /^(?:\/[A-Za-z0-9_-]+)*$/
const EXTERNAL_KEY_ID = /^[A-Za-z0-9._-]{1,128}$/

/**
 * Reads a request-target as it stood in the request line; `undefined` for whatever is not one of the four paths (XKS U-01).
 * Nothing is decoded or normalised: a query, `%2e`, `//` and the absolute form name nothing (XKS U-12, AT-S18).
 * Read from the end, so that each target has one meaning whatever its prefix looks like.
 */
export function parseUriPath(rawTarget: string): UriPath | undefined {
  if (rawTarget.length > MAX_TARGET_CHARACTERS) return undefined
  if (rawTarget.endsWith(HEALTH))
    return underPrefix(rawTarget.slice(0, -HEALTH.length), 'GetHealthStatus', undefined)
  const operationAt = rawTarget.lastIndexOf('/')
  const operation = KEY_OPERATIONS.get(rawTarget.slice(operationAt + 1))
  if (!operation) return undefined
  const idAt = rawTarget.lastIndexOf('/', operationAt - 1)
  const externalKeyId = rawTarget.slice(idAt + 1, operationAt)
  const keysPath = rawTarget.slice(0, idAt)
  if (idAt < 0 || !isExternalKeyId(externalKeyId) || !keysPath.endsWith(KEYS)) return undefined
  return underPrefix(keysPath.slice(0, -KEYS.length), operation, externalKeyId)
}

/** Whether an external key store may have this prefix: empty, or segments of `A-Za-z0-9_-`, each behind a slash (XKS U-02). */
export function isUriPathPrefix(text: string): boolean {
  return text.length + BASE.length <= MAX_URI_PATH_CHARACTERS && PREFIX.test(text)
}

/** Whether a key may have this name (XKS U-06). A lone `.` or `..` would vanish when somebody normalises the path (XKS U-07). */
export function isExternalKeyId(text: string): boolean {
  return EXTERNAL_KEY_ID.test(text) && text !== '.' && text !== '..'
}

function underPrefix(
  uriPathPrefix: string,
  operation: XksOperation,
  externalKeyId: string | undefined,
): UriPath | undefined {
  return isUriPathPrefix(uriPathPrefix) ? { uriPathPrefix, operation, externalKeyId } : undefined
}
