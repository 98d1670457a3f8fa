import type { Caller } from './caller.ts'
import type { Clock } from './clock.ts'
import { KmsError } from './kms-error.ts'
import type { OperationName } from './operation-names.ts'

/**
 * Requests a second of one account in one region, by the name of the quota: AWS's defaults (Developer Guide, Request quotas,
 * 2026). Cryptography has AWS's quota of its largest regions (us-east-1, us-west-2, eu-west-1).
 */
export const REQUESTS_PER_SECOND = {
  CryptographicOperationsSymmetric: 100_000,
  CancelKeyDeletion: 5,
  CreateAlias: 5,
  CreateKey: 5,
  DeleteAlias: 15,
  DescribeKey: 2000,
  DisableKey: 5,
  DisableKeyRotation: 5,
  EnableKey: 5,
  EnableKeyRotation: 15,
  GetKeyLastUsage: 5,
  GetKeyPolicy: 1000,
  GetKeyRotationStatus: 1000,
  ListAliases: 500,
  ListKeyPolicies: 100,
  ListKeyRotations: 100,
  ListKeys: 500,
  ListResourceTags: 2000,
  PutKeyPolicy: 15,
  RotateKeyOnDemand: 5,
  ScheduleKeyDeletion: 15,
  TagResource: 10,
  UntagResource: 5,
  UpdateAlias: 5,
  UpdateKeyDescription: 5,
} as const satisfies Partial<Record<OperationName | SharedQuota, number>>

type SharedQuota = 'CryptographicOperationsSymmetric'
export type QuotaName = keyof typeof REQUESTS_PER_SECOND

/** Operations that share a quota; every other one has that of its own name. */
const SHARED: ReadonlyMap<OperationName, SharedQuota> = new Map([
  ['Decrypt', 'CryptographicOperationsSymmetric'],
  ['Encrypt', 'CryptographicOperationsSymmetric'],
  ['GenerateDataKey', 'CryptographicOperationsSymmetric'],
  ['GenerateDataKeyWithoutPlaintext', 'CryptographicOperationsSymmetric'],
  ['GenerateRandom', 'CryptographicOperationsSymmetric'],
  ['ReEncrypt', 'CryptographicOperationsSymmetric'],
])

export interface RequestQuotaOptions {
  /** In place of AWS's numbers. */
  readonly perSecond?: { readonly [Name in QuotaName]?: number | undefined }
  /** Seconds over which the rate is averaged: who was quiet that long may send so many seconds' requests at once. */
  readonly burstSeconds: number
}

/** Callers choose the region, so the number of buckets is bounded; whose bucket is dropped starts with a full one. */
const MOST_BUCKETS = 10_000

/** Counts requests of each account and region against their quotas, in this process. */
export class RequestQuotas {
  readonly #clock: Pick<Clock, 'uptime'>
  readonly #options: RequestQuotaOptions
  readonly #buckets = new Map<string, TokenBucket>()

  constructor(clock: Pick<Clock, 'uptime'>, options: RequestQuotaOptions) {
    this.#clock = clock
    this.#options = options
  }

  /** Counts one request. Throws ThrottlingException when it is one too many; such a request counts for nothing. */
  take(
    { accountId, region }: Pick<Caller, 'accountId' | 'region'>,
    operation: OperationName,
  ): void {
    const quota = SHARED.get(operation) ?? operation
    if (!isQuotaName(quota)) return
    const name = `${quota}/${accountId}/${region}`
    const bucket = this.#buckets.get(name) ?? this.#addBucket(name, quota)
    if (bucket.take(this.#clock.uptime())) return
    throw new KmsError(
      'ThrottlingException',
      'You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.',
    )
  }

  #addBucket(name: string, quota: QuotaName): TokenBucket {
    const { perSecond, burstSeconds } = this.#options
    const rate = perSecond?.[quota] ?? REQUESTS_PER_SECOND[quota]
    const bucket = new TokenBucket(rate, Math.max(1, rate * burstSeconds), this.#clock.uptime())
    const [oldest] = this.#buckets.keys()
    if (this.#buckets.size >= MOST_BUCKETS && oldest !== undefined) this.#buckets.delete(oldest)
    this.#buckets.set(name, bucket)
    return bucket
  }
}

/** Fills steadily up to its capacity; each request takes one token out. */
export class TokenBucket {
  readonly #perMs: number
  readonly #capacity: number
  #tokens: number
  #filledAt: number

  constructor(perSecond: number, capacity: number, now: number) {
    this.#perMs = perSecond / 1000
    this.#capacity = capacity
    this.#tokens = capacity
    this.#filledAt = now
  }

  take(now: number): boolean {
    const filled = this.#tokens + (now - this.#filledAt) * this.#perMs
    this.#tokens = filled < this.#capacity ? filled : this.#capacity
    this.#filledAt = now
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}

function isQuotaName(name: string): name is QuotaName {
  return Object.hasOwn(REQUESTS_PER_SECOND, name)
}
