import { CustodyError } from '../crypto/custody-error.ts'
import type { KeyCustody } from '../crypto/key-custody.ts'
import { newAlias } from './alias.ts'
import { ownAliasArn } from './alias-name.ts'
import type { AuditScribe } from './audit-trail.ts'
import { type Clock, systemClock } from './clock.ts'
import { CriticalSections } from './critical-section.ts'
import { kmsErrorOf } from './custody-failures.ts'
import { EncryptionBudget } from './encryption-budget.ts'
import { Heartbeat } from './heartbeat.ts'
import type { Key, KeyMaterial } from './key.ts'
import { KeyDeletion } from './key-deletion.ts'
import { KeyRotation } from './key-rotation.ts'
import { isKeyId, keyArn, keyNotFound } from './key-id.ts'
import { compileKeyPolicy, KeyPolicies } from './key-policies.ts'
import type { KeyStorage } from './key-storage.ts'
import type { Kms, KmsRequest } from './kms.ts'
import type { KmsContext, KmsNotice } from './kms-context.ts'
import { KmsError } from './kms-error.ts'
import { LastUses } from './last-uses.ts'
import { assertNameIsFree, makeKey, type NewKey } from './new-key.ts'
import type { Operation } from './operation.ts'
import { OPERATIONS } from './operations/index.ts'
import { type RequestQuotaOptions, RequestQuotas } from './request-quotas.ts'
import { type ResourceQuotas, resourceQuotas } from './resource-quotas.ts'
import { rotateSpentMaterial } from './rotation.ts'
import { deliverServiceEvent, recordServiceEvent } from './service-event.ts'

export interface KmsParts {
  readonly storage: KeyStorage
  readonly custody: KeyCustody
  readonly clock?: Clock
  /** Composes audit records that must be committed with a change. */
  readonly scribe?: AuditScribe
  /** Without them requests are not counted. */
  readonly requestQuotas?: RequestQuotaOptions | undefined
  /** Where they are not AWS's. */
  readonly resourceQuotas?: Partial<ResourceQuotas> | undefined
  /** Hears what an operator should know. */
  readonly notify?: (notice: KmsNotice) => void
}

/** The KMS rules, and what the daemon does with keys beside the API. */
export interface KmsService extends Kms {
  readonly heartbeat: Heartbeat
  readonly deletion: KeyDeletion
  readonly rotation: KeyRotation
  readonly lastUses: LastUses
  /** Counts the encryptions of every material, also of external keys. */
  readonly budget: Pick<EncryptionBudget, 'spend'>
  /** Makes a key with a chosen id unless it exists; material is always made in the token. Throws KmsError. */
  seedKey(seed: Omit<NewKey, 'keySpec'>): Promise<Key>
  /** Makes an alias for an existing key unless there is one of that name, which stays as it is. Throws KmsError. */
  seedAlias(aliasName: string, keyArn: string): Promise<void>
  /** Sets encryptions aside for keys that were used of late, so that they can be used while storage is away (FM-F47). */
  reserveAhead(): Promise<void>
  /** Waits for key changes under way, writes down the last uses of keys, and gives unused encryption counts back. */
  close(): Promise<void>
}

export function createKms(parts: KmsParts): KmsService {
  const context = createContext(parts)
  const heartbeat = new Heartbeat(context.storage, context.clock)
  return {
    heartbeat,
    deletion: new KeyDeletion(context, heartbeat),
    rotation: new KeyRotation(context),
    lastUses: context.lastUses,
    budget: context.budget,
    perform: (request) => perform(context, request),
    seedKey: (seed) => seedKey(context, seed),
    seedAlias: (aliasName, arn) => seedAlias(context, aliasName, arn),
    reserveAhead: () => reserveAhead(context),
    close: async () => {
      await context.sections.settled()
      await writeLastUses(context)
      await closeBudget(context)
    },
  }
}

function createContext(parts: KmsParts): KmsContext {
  const { storage, custody, clock = systemClock, scribe, notify, requestQuotas } = parts
  const context: KmsContext = {
    storage,
    custody,
    clock,
    scribe,
    notify: notify ?? (() => undefined),
    policies: new KeyPolicies(),
    sections: new CriticalSections(),
    lastUses: new LastUses(storage, clock),
    requestQuotas: requestQuotas && new RequestQuotas(clock, requestQuotas),
    resourceQuotas: resourceQuotas(parts.resourceQuotas),
    budget: new EncryptionBudget(storage, {
      near: (material, encryptions) => warnOfLimit(context, material, encryptions),
      reached: (material) => void rotateAtLimit(context, material),
    }),
  }
  return context
}

async function perform(context: KmsContext, request: KmsRequest): Promise<object | undefined> {
  const operation = OPERATIONS.get(request.operation)
  if (!operation)
    throw new KmsError(
      'UnsupportedOperationException',
      `${request.operation} is not supported by this version of hsm-bridge.`,
    )
  request.trail.readOnly = operation.readOnly
  request.trail.parameters = auditedParameters(operation, request.input)
  try {
    context.requestQuotas?.take(request.caller, request.operation)
    // The face validated the input against the schema of this very operation.
    const reply = await operation.perform(context, request as KmsRequest & { input: never })
    if (operation.usesKeys) context.lastUses.note(request)
    return reply
  } catch (error) {
    throw error instanceof CustodyError ? kmsErrorOf(error) : error
  }
}

function auditedParameters(
  { audited }: Operation<never>,
  input: KmsRequest['input'],
): Readonly<Record<string, unknown>> {
  const parameters: Record<string, unknown> = {}
  for (const name of audited) if (input[name] !== undefined) parameters[name] = input[name]
  return parameters
}

async function seedKey(context: KmsContext, seed: Omit<NewKey, 'keySpec'>): Promise<Key> {
  const { keyId, accountId, region, policy } = seed
  if (!isKeyId(keyId)) throw new KmsError('ValidationException', `Invalid keyId '${keyId}'`)
  if (policy !== undefined) compileKeyPolicy(policy)
  const arn = keyArn(region, accountId, keyId)
  return context.sections.enter(arn, async () => {
    const existing = context.storage.snapshot.findKey(arn)
    if (existing) return existing
    assertNameIsFree(context.storage.snapshot, arn)
    try {
      return await makeKey(context, { ...seed, keySpec: 'SYMMETRIC_DEFAULT' }, (_draft, key) => key)
    } catch (error) {
      const made = context.storage.snapshot.findKey(arn)
      if (made) return made // by another daemon with the same seed
      throw error
    }
  })
}

const OF_LATE_MS = 7 * 24 * 60 * 60 * 1000

function reserveAhead({ storage, clock, lastUses, budget }: KmsContext): Promise<void> {
  const since = clock.now() - OF_LATE_MS
  const used = [...storage.snapshot.allKeys()].filter(
    ({ arn, state, external }) =>
      state === 'Enabled' && (external !== undefined || (lastUses.of(arn)?.at ?? 0) > since),
  )
  const current = used.map((key) =>
    storage.snapshot.findMaterial(key.region, key.currentMaterialId),
  )
  return budget.reserveAhead(current.filter((material) => material !== undefined))
}

/** What was set aside stays so when storage is away: that many encryptions fewer, and no lane is kept from ending. */
async function closeBudget({ budget, notify }: KmsContext): Promise<void> {
  try {
    await budget.close()
  } catch (cause) {
    notify({ level: 'warn', message: 'unused encryption counts could not be given back', cause })
  }
}

/** Not worth failing for: they are only what GetKeyLastUsage tells. */
async function writeLastUses({ lastUses, notify }: KmsContext): Promise<void> {
  try {
    await lastUses.flush()
  } catch (cause) {
    notify({ level: 'warn', message: 'the last uses of keys could not be written down', cause })
  }
}

function seedAlias({ storage, clock }: KmsContext, aliasName: string, arn: string): Promise<void> {
  return storage.change((draft) => {
    const key = draft.findKey(arn)
    if (!key) throw keyNotFound(arn)
    if (!draft.findAlias(ownAliasArn(aliasName, key)))
      draft.putAlias(newAlias(aliasName, key, clock.now()))
  })
}

function warnOfLimit({ notify }: KmsContext, { keyArn, material }: KeyMaterial, count: number) {
  notify({
    level: 'warn',
    message: `key material ${material.materialId} has made up to ${count} encryptions of 2^31, half of what is safe`,
    keyArn,
  })
}

/** Somebody waits for an encryption, not for this: what fails here is told to the operator and tried with the next block. */
async function rotateAtLimit(context: KmsContext, spent: KeyMaterial) {
  const { keyArn } = spent
  if (context.storage.snapshot.findKey(keyArn)?.external?.adopted)
    return context.notify({
      level: 'warn',
      message: 'an adopted key nears the end of its encryptions and is not rotated by itself',
      keyArn,
    })
  try {
    const line = await rotateSpentMaterial(context, spent, (draft, key) =>
      recordServiceEvent(context, draft, key, 'RotateKey'),
    )
    await deliverServiceEvent(context, line)
  } catch (cause) {
    context.notify({
      level: 'error',
      message: 'a key at its encryption limit could not be rotated; it will be tried again',
      keyArn: spent.keyArn,
      cause,
    })
  }
}
