import { KmsError, type KmsErrorCode } from './kms-error.ts'

interface QuotaRow {
  /** AWS's default (Developer Guide, Resource quotas). */
  readonly usual: number
  readonly error: KmsErrorCode
  /** As AWS words it. */
  readonly message: (quota: number, usage: number) => string
}

/** How much of everything there may be. */
const QUOTAS = {
  /** Keys of one account in one region, in whatever state. */
  keys: {
    usual: 100_000,
    error: 'LimitExceededException',
    message: (quota, usage) =>
      `Key quota for this account in this region is ${quota} but the current usage is ${usage}.`,
  },
  aliasesPerKey: {
    usual: 50,
    error: 'LimitExceededException',
    message: (quota, usage) =>
      `Aliases per key quota for this account in this region is ${quota}, current usage is ${usage}.`,
  },
  tagsPerKey: { usual: 50, error: 'TagException', message: () => 'Too many tags' }, // KMS-20
} as const satisfies Record<string, QuotaRow>

type QuotaName = keyof typeof QUOTAS

export type ResourceQuotas = Readonly<Record<QuotaName, number>>

type QuotaOptions = { readonly [Name in QuotaName]?: number | undefined }

/** AWS's quotas, but for those that are set otherwise. */
export function resourceQuotas(set: QuotaOptions = {}): ResourceQuotas {
  return {
    keys: set.keys ?? QUOTAS.keys.usual,
    aliasesPerKey: set.aliasesPerKey ?? QUOTAS.aliasesPerKey.usual,
    tagsPerKey: set.tagsPerKey ?? QUOTAS.tagsPerKey.usual,
  }
}

/** Throws what AWS throws when there would be more than the quota; `usage` is what there is without them. */
export function assertRoom(
  quotas: ResourceQuotas,
  name: QuotaName,
  usage: number,
  additional = 1,
): void {
  if (usage + additional <= quotas[name]) return
  const { error, message } = QUOTAS[name]
  throw new KmsError(error, message(quotas[name], usage))
}
