import type { Kysely } from 'kysely'
import type { AuditOutbox } from '../audit/audit-outbox.ts'
import type { AuditLine } from '../kms/audit-trail.ts'
import type { ChangeOptions } from '../kms/key-storage.ts'
import { KmsError } from '../kms/kms-error.ts'
import { ChangeDraft } from './change-draft.ts'
import type { MemorySnapshot } from './memory-snapshot.ts'
import type { Storage, StorageDraft } from './storage.ts'
import type { Tables } from './tables.ts'
import { writeChanges } from './write-changes.ts'

/** A draft reads through the drafts before it, so their number bounds the depth of a read. */
const MOST_CHANGES_TOGETHER = 256

/** What only the engine can do. */
interface Engine {
  copy(toPath: string): Promise<void>
  integrityProblems(): readonly string[]
}

/** A change that waits for its transaction. */
interface Waiting {
  run(ground: ConstructorParameters<typeof ChangeDraft>[0]): ChangeDraft | undefined
  resolve(): void
  reject(error: unknown): void
}

/**
 * Storage in one database file. Changes queue up; those that wait at the same time share one transaction, hence one write to the
 * disk, and each sees what the ones before it wrote.
 */
export class SqliteStorage implements Storage {
  readonly snapshot: MemorySnapshot
  readonly outbox: AuditOutbox
  readonly #db: Kysely<Tables>
  readonly #engine: Engine
  #readOnlyReason: string | undefined
  readonly #waiting: Waiting[] = []
  #committing: Promise<void> | undefined

  constructor(db: Kysely<Tables>, snapshot: MemorySnapshot, engine: Engine) {
    this.#db = db
    this.snapshot = snapshot
    this.#engine = engine
    this.outbox = {
      pending: () => this.#pendingAudit(),
      remove: (eventIds) => this.#removeAudit(eventIds),
    }
  }

  get readOnlyReason(): string | undefined {
    return this.#readOnlyReason
  }

  setReadOnly(reason: string | undefined): void {
    this.#readOnlyReason = reason
  }

  change<T>(work: (draft: StorageDraft) => T, { evenReadOnly }: ChangeOptions = {}): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      // FM-F30: not an error that a client should try again; an operator has to act.
      if (this.#readOnlyReason !== undefined && evenReadOnly !== true)
        throw new KmsError('KMSInvalidStateException', this.#readOnlyReason)
      this.#waiting.push(waiting(work, resolve, reject))
      this.#committing ??= this.#commitAll()
    })
  }

  backup(toPath: string): Promise<void> {
    return this.#engine.copy(toPath)
  }

  async checkIntegrity(): Promise<readonly string[]> {
    return this.#engine.integrityProblems()
  }

  async close(): Promise<void> {
    await this.#committing
    await this.#db.destroy()
  }

  async #commitAll(): Promise<void> {
    await Promise.resolve() // so that everything of this turn of the event loop comes along
    while (this.#waiting.length > 0) {
      await this.#commit(this.#waiting.splice(0, MOST_CHANGES_TOGETHER))
    }
    this.#committing = undefined
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    let ground: ConstructorParameters<typeof ChangeDraft>[0] = this.snapshot
    const drafts: ChangeDraft[] = []
    const accepted: Waiting[] = []
    for (const one of batch) {
      const draft = one.run(ground)
      if (!draft) continue
      accepted.push(one)
      if (draft.changes.length === 0) continue
      drafts.push(draft)
      ground = draft
    }
    try {
      await this.#write(drafts.flatMap((draft) => draft.changes))
    } catch (cause) {
      const error = new KmsError('KMSInternalException', 'The change could not be stored.', {
        cause,
      })
      for (const one of accepted) one.reject(error)
      return
    }
    for (const one of accepted) one.resolve()
  }

  async #write(changes: ChangeDraft['changes']): Promise<void> {
    if (changes.length === 0) return
    const { version } = this.snapshot
    await this.#db.transaction().execute((db) => writeChanges(db, version, changes))
    this.snapshot.commit(version + 1, changes)
  }

  async #pendingAudit(): Promise<readonly AuditLine[]> {
    const rows = await this.#db
      .selectFrom('audit_outbox')
      .selectAll()
      .orderBy('at')
      .orderBy('event_id')
      .execute()
    return rows.map(({ event_id: eventId, at, line: text }) => ({ eventId, at, text }))
  }

  async #removeAudit(eventIds: readonly string[]): Promise<void> {
    if (eventIds.length === 0) return
    await this.#db.deleteFrom('audit_outbox').where('event_id', 'in', eventIds).execute()
  }
}

function waiting<T>(
  work: (draft: StorageDraft) => T,
  resolve: (value: T) => void,
  reject: (error: unknown) => void,
): Waiting {
  let result: T
  return {
    run(ground) {
      const draft = new ChangeDraft(ground)
      try {
        result = work(draft)
        return draft
      } catch (error) {
        reject(error)
        return undefined
      }
    },
    resolve: () => resolve(result),
    reject,
  }
}
