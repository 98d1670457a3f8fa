import { parseBody } from '../json-body.ts'
import type { XksRequest, XksTrail } from '../proxy.ts'
import { readRequestMetadata } from '../read-request-metadata.ts'
import { authorize } from '../secondary-authorization.ts'
import { assertStoreEnabled, getKey } from '../use-key.ts'
import { keyMetadataAnswer } from '../wire.ts'

/** From what is configured: the token is not asked, and no key is made, whatever the kmsOperation says (XKS G-08). */
export function getKeyMetadata(request: XksRequest, trail: XksTrail): string {
  const metadata = readRequestMetadata('GetKeyMetadata', parseBody(request), trail)
  const key = getKey(request)
  authorize(request, key, metadata, trail)
  assertStoreEnabled(request.store)
  return keyMetadataAnswer(key.keyUsage, key.enabled)
}
