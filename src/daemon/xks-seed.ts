import * as z from 'zod'
import { Sensitive } from '../bytes/sensitive.ts'
import { isExternalKeyId } from '../xks/uri-path.ts'
import type { Installation } from './installation.ts'
import { STORE_MEMBERS } from './xks-config.ts'
import {
  addXksCredential,
  removeXksCredential,
  xksAccessKeyId,
  xksSecret,
} from './xks-credential.ts'
import { createXksKey } from './xks-key.ts'
import { applyDeclaredStores, declarationEntry } from './xks-store.ts'

const credential = z.strictObject({
  accessKeyId: xksAccessKeyId,
  secretAccessKey: xksSecret.transform((secret) => new Sensitive(secret)),
})

const key = z.strictObject({
  externalKeyId: z.string().refine(isExternalKeyId, 'must be 1 to 128 of A-Z a-z 0-9 . _ -'),
  usage: z
    .array(z.enum(['ENCRYPT', 'DECRYPT']))
    .min(1)
    .default(['ENCRYPT', 'DECRYPT']),
  kmsKeyArn: z.string().max(256).optional(),
})

/** External key stores of a seed; `policy` is a policy document as the rest of the seed has them. */
export function xksSeedSchema<Policy extends z.ZodType<string>>(policy: Policy) {
  const store = z.strictObject({
    ...STORE_MEMBERS,
    policy: policy.optional(),
    credentials: z.array(credential).default([]),
    keys: z.array(key).default([]),
  })
  return z.strictObject({ stores: z.array(store).default([]) })
}

export type XksSeed = z.output<ReturnType<typeof xksSeedSchema>>

/** Stores and credentials become what stands in the seed; those that it does not name stay. */
export async function seedXksStores(installation: Installation, seed: XksSeed): Promise<void> {
  const wishes = seed.stores.map(({ credentials: _credentials, keys: _keys, ...store }) => ({
    ...store,
    requestsPerSecond: store.requestsPerSecond,
    policy: store.policy,
  }))
  const { storage, administration } = installation
  await administration.recorded((note) =>
    applyDeclaredStores(storage, wishes, (draft, applied) =>
      note(draft, declarationEntry('SeedExternalKeyStores', applied, wishes)),
    ),
  )
  for (const { name, credentials } of seed.stores)
    for (const accessKey of credentials) await seedCredential(installation, name, accessKey)
}

/** Keys that do not exist yet are made in the token; those that exist stay as they are. */
export async function seedXksKeys(installation: Installation, seed: XksSeed): Promise<void> {
  for (const { name, keys } of seed.stores)
    for (const { externalKeyId, usage, kmsKeyArn } of keys) {
      if (installation.storage.snapshot.findExternalKey(name, externalKeyId)) continue
      await createXksKey(installation, {
        storeName: name,
        externalKeyId,
        keyUsage: usage,
        ...(kmsKeyArn !== undefined && { kmsKeyArn }),
        adopted: false,
        opensHashedAad: false,
      })
    }
}

async function seedCredential(
  installation: Installation,
  name: string,
  accessKey: z.output<typeof credential>,
): Promise<void> {
  const { storage, seal, administration } = installation
  const { accessKeyId, secretAccessKey } = accessKey
  const found = storage.snapshot.findXksCredential(accessKeyId)
  if (found?.storeName === name) {
    if (seal.open(found.sealedSecret, accessKeyId).reveal() === secretAccessKey.reveal()) return
    await administration.recorded((note) => removeXksCredential(storage, accessKeyId, note))
  }
  await administration.recorded((note) => addXksCredential(installation, name, accessKey, note))
}
