import * as z from 'zod'
import { Sensitive } from '../bytes/sensitive.ts'
import type { KmsService } from '../kms/create-kms.ts'
import { accountId } from './config-schema.ts'
import type { Installation } from './installation.ts'
import { ADMINISTRATOR_POLICY, putPrincipal, USER_NAME } from './principal.ts'
import { readPrivateFile } from './private-file.ts'
import { region } from './xks-config.ts'
import { seedXksKeys, seedXksStores, xksSeedSchema } from './xks-seed.ts'
import { parseYamlDocument } from './yaml-document.ts'

/** A policy as JSON text, or written out in YAML. */
const policy = z
  .union([z.string(), z.looseObject({})])
  .transform((written) => (typeof written === 'string' ? written : JSON.stringify(written)))

const principal = z
  .strictObject({
    name: z.string().regex(USER_NAME, 'must be a user name'),
    accessKeyId: z
      .string()
      .regex(/^[A-Z0-9]{16,128}$/, 'must be 16 to 128 capital letters and digits'),
    secretAccessKey: z
      .string()
      .min(16)
      .transform((secret) => new Sensitive(secret)),
    administrator: z.boolean().optional(),
    policies: z.array(policy).optional(),
  })
  .refine((it) => !(it.administrator && it.policies), {
    message: 'takes administrator or policies, not both',
  })

const alias = z
  .string()
  .max(256)
  .regex(/^alias\/(?!aws\/)[\w/-]+$/, 'must be alias/ and a name that does not begin with aws/')

const key = z.strictObject({
  keyId: z.guid('must be a UUID').toLowerCase(),
  region: region.optional(),
  description: z.string().max(8192).optional(),
  policy: policy.optional(),
  aliases: z.array(alias).default([]),
})

export const SEED_SCHEMA = z.strictObject({
  accounts: z
    .record(
      accountId,
      z.strictObject({
        principals: z.array(principal).default([]),
        keys: z.array(key).default([]),
      }),
    )
    .default({}),
  xks: xksSeedSchema(policy).optional(),
})

export type Seed = z.output<typeof SEED_SCHEMA>

/** Reads seed.yaml. It holds secrets, so it must be its owner's alone. Throws ConfigError with line and column. */
export function readSeed(file: string): Seed {
  return parseYamlDocument(readPrivateFile(file, 'seed'), file, SEED_SCHEMA)
}

/** Principals, external key stores and their credentials need no token; putting them again changes what differs, and nothing else. */
export async function seedPrincipals(installation: Installation, seed: Seed): Promise<void> {
  for (const [account, { principals }] of Object.entries(seed.accounts)) {
    for (const { name, accessKeyId, secretAccessKey, administrator, policies } of principals) {
      const identityPolicies = administrator ? [ADMINISTRATOR_POLICY] : (policies ?? [])
      const found = installation.storage.snapshot.findPrincipal(accessKeyId)
      const same =
        found?.accountId === account &&
        found.userName === name &&
        JSON.stringify(found.identityPolicies) === JSON.stringify(identityPolicies) &&
        installation.seal.open(found.sealedSecret, accessKeyId).reveal() ===
          secretAccessKey.reveal()
      if (same) continue
      await putPrincipal(installation, {
        accountId: account,
        userName: name,
        accessKey: { accessKeyId, secretAccessKey },
        policies: identityPolicies,
      })
    }
  }
  if (seed.xks) await seedXksStores(installation, seed.xks)
}

/** Keys that do not exist yet get their material made in the token; keys and aliases that exist stay as they are. */
export async function seedKeys(
  installation: Installation,
  kms: Pick<KmsService, 'seedKey' | 'seedAlias'>,
  seed: Seed,
): Promise<void> {
  for (const [account, { keys }] of Object.entries(seed.accounts)) {
    for (const { keyId, region: where, description, policy: document, aliases } of keys) {
      const { arn } = await kms.seedKey({
        keyId,
        accountId: account,
        region: where ?? installation.config.region,
        description,
        policy: document,
      })
      for (const aliasName of aliases) await kms.seedAlias(aliasName, arn)
    }
  }
  if (seed.xks) await seedXksKeys(installation, seed.xks)
}
