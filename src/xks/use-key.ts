import type { Material } from '../crypto/key-custody.ts'
import { Absence } from './absence.ts'
import type { ExternalKey, ExternalKeyUsage } from './external-key.ts'
import type { ExternalKeyStore } from './external-key-store.ts'
import type { XksRequest, XksTrail } from './proxy.ts'
import { XksError } from './xks-error.ts'

/** Step 9 of the order of errors (XKS 1.9). A key of another store is as absent as one of none (XKS U-10); no token is asked. */
export function getKey({ store, externalKeyId }: XksRequest): ExternalKey {
  const key = externalKeyId === undefined ? undefined : store.findKey(externalKeyId)
  if (!key)
    throw new Absence(
      'KeyNotFoundException',
      `The external key ${externalKeyId} does not exist in this external key store.`,
    )
  return key
}

/** Step 11, as far as it is the store's. */
export function assertStoreEnabled({ enabled }: ExternalKeyStore): void {
  if (!enabled)
    throw new XksError('InvalidStateException', 'The external key store is disabled at the proxy.')
}

/** Step 11: XKS X-02. */
export function assertEnabled(store: ExternalKeyStore, key: ExternalKey): void {
  assertStoreEnabled(store)
  if (!key.enabled)
    throw new XksError('InvalidStateException', 'The external key is disabled at the proxy.')
}

/** Step 14, the part that needs no token: XKS E-19. */
export function assertUsage({ keyUsage }: ExternalKey, usage: ExternalKeyUsage): void {
  if (!keyUsage.includes(usage))
    throw new XksError('InvalidKeyUsageException', `The external key does not permit ${usage}.`)
}

/** For the journal, before the token is asked, so that it is there whatever fails (XKS L-03). */
export function noteMaterial(trail: XksTrail, material: Material): void {
  trail.materialId = material.materialId
  trail.tokenSerial = material.objects[0]?.tokenSerial
}

/** The token gave something that no caller may get. The reason is for the log. */
export function brokenResult(reason: string): XksError {
  return new XksError('InternalException', undefined, { cause: new Error(reason) })
}
