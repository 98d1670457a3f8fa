import { CustodyError } from '../crypto/custody-error.ts'
import type { KeyCustody } from '../crypto/key-custody.ts'
import type { AuditScribe } from './audit-trail.ts'
import { type Clock, systemClock } from './clock.ts'
import { CriticalSections } from './critical-section.ts'
import { kmsErrorOf } from './custody-failures.ts'
import { EncryptionBudget } from './encryption-budget.ts'
import { Heartbeat } from './heartbeat.ts'
import type { Key, KeyMaterial } from './key.ts'
import { KeyDeletion } from './key-deletion.ts'
import { isKeyId, keyArn } from './key-id.ts'
import { compileKeyPolicy, KeyPolicies } from './key-policies.ts'
import type { KeyStorage } from './key-storage.ts'
import type { Kms, KmsRequest } from './kms.ts'
import type { KmsContext, KmsNotice } from './kms-context.ts'
import { KmsError } from './kms-error.ts'
import { assertNameIsFree, makeKey, type NewKey } from './new-key.ts'
import type { Operation } from './operation.ts'
import { OPERATIONS } from './operations/index.ts'
import { rotateSpentMaterial } from './rotation.ts'
import { deliverServiceEvent, recordServiceEvent } from './service-event.ts'

export interface KmsParts {
  readonly storage: KeyStorage
  readonly custody: KeyCustody
  readonly clock?: Clock
  /** Composes audit records that must be committed with a change. */
  readonly scribe?: AuditScribe
  /** Hears what an operator should know. */
  readonly notify?: (notice: KmsNotice) => void
}

/** The KMS rules, and what the daemon does with keys beside the API. */
export interface KmsService extends Kms {
  readonly heartbeat: Heartbeat
  readonly deletion: KeyDeletion
  /** Makes a key with a chosen id unless it exists; material is always made in the token. Throws KmsError. */
  seedKey(seed: Omit<NewKey, 'keySpec'>): Promise<Key>
  /** Waits for key changes under way and gives unused encryption counts back. */
  close(): Promise<void>
}

export function createKms(parts: KmsParts): KmsService {
  const context = createContext(parts)
  const heartbeat = new Heartbeat(context.storage, context.clock)
  return {
    heartbeat,
    deletion: new KeyDeletion(context, heartbeat),
    perform: (request) => perform(context, request),
    seedKey: (seed) => seedKey(context, seed),
    close: async () => {
      await context.sections.settled()
      await context.budget.close()
    },
  }
}

function createContext({ storage, custody, clock, scribe, notify }: KmsParts): KmsContext {
  const context: KmsContext = {
    storage,
    custody,
    clock: clock ?? systemClock,
    scribe,
    notify: notify ?? (() => undefined),
    policies: new KeyPolicies(),
    sections: new CriticalSections(),
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
    // The face validated the input against the schema of this very operation.
    return await operation.perform(context, request as KmsRequest & { input: never })
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
    return makeKey(context, { ...seed, keySpec: 'SYMMETRIC_DEFAULT' }, (_draft, key) => key)
  })
}

function warnOfLimit({ notify }: KmsContext, { keyArn, material }: KeyMaterial, count: number) {
  notify({
    level: 'warn',
    message: `key material ${material.materialId} has made up to ${count} encryptions; it is rotated at 2^31`,
    keyArn,
  })
}

/** Somebody waits for an encryption, not for this: what fails here is told to the operator and tried with the next block. */
async function rotateAtLimit(context: KmsContext, spent: KeyMaterial) {
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
