import { randomUUID } from 'node:crypto'
import type { Heartbeat } from './heartbeat.ts'
import { type Key, planOf } from './key.ts'
import type { DestroyIntent, KeyDraft } from './key-storage.ts'
import type { KmsContext } from './kms-context.ts'
import { deliverServiceEvent, recordServiceEvent } from './service-event.ts'
import type { TokenWriteLock } from './token-write-lock.ts'

export interface DeletionReport {
  /** ARNs of keys that no longer exist. */
  readonly destroyed: readonly string[]
  /** ARNs of keys that are due by the wall clock, while the heartbeat disagrees. */
  readonly held: readonly string[]
  /** ARNs of keys whose destruction did not succeed; it is tried again. */
  readonly failed: readonly string[]
}

/** Destroys keys whose waiting period is over: intent, destroy in the token, commit (FM-F25). */
export class KeyDeletion {
  readonly #context: KmsContext
  readonly #heartbeat: Heartbeat

  constructor(context: KmsContext, heartbeat: Heartbeat) {
    this.#context = context
    this.#heartbeat = heartbeat
  }

  /** Destroys what is due and finishes what was begun, also before a restart. Nothing while storage is read-only (FM-F30). */
  async destroyDueKeys(): Promise<DeletionReport> {
    const { storage, clock } = this.#context
    if (storage.readOnlyReason !== undefined) return { destroyed: [], held: [], failed: [] }
    const wall = clock.now()
    const agreed = this.#heartbeat.agreedNow()
    const waiting = [...storage.snapshot.allKeys()].filter(
      (key) => key.state === 'Destroying' || isDue(key, wall),
    )
    // FM-F26: the wall clock alone destroys nothing.
    const held = waiting.filter((key) => key.state === 'PendingDeletion' && !isDue(key, agreed))
    const destroyed: string[] = []
    const failed: string[] = []
    for (const { arn } of waiting.filter((key) => !held.includes(key))) {
      if (await this.#destroyKey(arn)) destroyed.push(arn)
      else if (storage.snapshot.findKey(arn)) failed.push(arn) // else another daemon was faster
    }
    return { destroyed, held: held.map((key) => key.arn), failed }
  }

  #destroyKey(arn: string): Promise<boolean> {
    return this.#context.sections.enter(arn, async () => {
      try {
        return await this.#context.storage.withTokenWriteLock((lock) => this.#destroy(arn, lock))
      } catch (cause) {
        this.#context.notify({
          level: 'error',
          message: 'a key that is due could not be destroyed; it will be tried again',
          keyArn: arn,
          cause,
        })
        return false
      }
    })
  }

  async #destroy(arn: string, lock: TokenWriteLock): Promise<boolean> {
    const { custody } = this.#context
    const intent = this.#openIntent(arn) ?? (await this.#writeIntent(arn))
    if (!intent) return false
    for (const plan of intent.plans) await custody.destroy(plan, intent.lineage, lock)
    await this.#commit(intent, lock)
    return true
  }

  #openIntent(arn: string): DestroyIntent | undefined {
    return this.#context.storage.snapshot
      .intents()
      .find((intent) => intent.kind === 'destroy' && intent.keyArn === arn) as
      | DestroyIntent
      | undefined
  }

  /** From here on the key cannot be saved. Undefined when somebody saved it before. */
  #writeIntent(arn: string): Promise<DestroyIntent | undefined> {
    const createdAt = this.#context.clock.now()
    return this.#context.storage.change((draft) => {
      const key = draft.findKey(arn)
      if (!key || !isDue(key, this.#heartbeat.agreedNow())) return undefined
      draft.putKey({ ...key, state: 'Destroying' })
      const intent: DestroyIntent = {
        kind: 'destroy',
        intentId: randomUUID(),
        keyArn: arn,
        plans: draft.materialsOf(arn).map(({ material }) => planOf(material)),
        lineage: draft.nextLineage(),
        createdAt,
      }
      draft.putIntent(intent)
      return intent
    })
  }

  async #commit({ intentId, keyArn, plans }: DestroyIntent, lock: TokenWriteLock): Promise<void> {
    const destroyedAt = this.#context.clock.now()
    const bury = (draft: KeyDraft) => {
      const key = draft.findKey(keyArn)
      draft.dropIntent(intentId)
      if (!key) return undefined
      const { arn, accountId, region, keyId } = key
      const materialIds = plans.map((plan) => plan.materialId)
      draft.buryKey({ arn, accountId, region, keyId, destroyedAt, materialIds })
      return recordServiceEvent(this.#context, draft, key, 'DeleteKey')
    }
    const line = await this.#context.storage.change(bury, { lock })
    await deliverServiceEvent(this.#context, line)
  }
}

function isDue(key: Key, now: number): boolean {
  return key.state === 'PendingDeletion' && key.deletionAt !== undefined && key.deletionAt <= now
}
