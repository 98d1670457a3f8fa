import type { ChangeOptions } from '../kms/key-storage.ts'
import type { Change } from './change.ts'
import { ChangeDraft, type Ground } from './change-draft.ts'
import type { StorageDraft } from './storage.ts'

/** A draft reads through the drafts before it, so their number bounds the depth of a read. */
const MOST_CHANGES_TOGETHER = 256

/** Says why a change may not be made, before it runs or when it is known what it would write; undefined when it may. */
export interface Admission {
  before?(options: ChangeOptions): Error | undefined
  after?(changes: readonly Change[]): Error | undefined
}

/** A change that waits for its transaction. */
interface Waiting {
  readonly options: ChangeOptions
  run(ground: Ground): ChangeDraft
  resolve(): void
  reject(error: unknown): void
}

/** Changes queue up; those that wait at the same time share one transaction, hence one write to the disk. */
export class ChangeQueue {
  readonly #commit: (batch: ChangeBatch) => Promise<void>
  readonly #waiting: Waiting[] = []
  #committing: Promise<void> | undefined

  /** `commit` settles every change of the batch; it never rejects. */
  constructor(commit: (batch: ChangeBatch) => Promise<void>) {
    this.#commit = commit
  }

  add<T>(work: (draft: StorageDraft) => T, options: ChangeOptions): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push(waiting(work, options, resolve, reject))
      this.#committing ??= this.#commitAll()
    })
  }

  /** Resolves when nothing waits. */
  async settled(): Promise<void> {
    await this.#committing
  }

  async #commitAll(): Promise<void> {
    await Promise.resolve() // so that everything of this turn of the event loop comes along
    while (this.#waiting.length > 0) {
      await this.#commit(new ChangeBatch(this.#waiting.splice(0, MOST_CHANGES_TOGETHER)))
    }
    this.#committing = undefined
  }
}

/** The changes of one transaction, in order; each sees what the ones before it write. */
export class ChangeBatch {
  readonly #waiting: readonly Waiting[]
  readonly #accepted: Waiting[] = []

  constructor(waiting: readonly Waiting[]) {
    this.#waiting = waiting
  }

  /** Runs every change, once, and answers what is to be written. One that throws or is not admitted rejects for itself alone. */
  run(ground: Ground, admission: Admission = {}): readonly Change[] {
    const changes: Change[] = []
    let latest = ground
    for (const one of this.#waiting) {
      try {
        refuse(admission.before?.(one.options))
        const draft = one.run(latest)
        refuse(admission.after?.(draft.changes))
        this.#accepted.push(one)
        if (draft.changes.length === 0) continue
        changes.push(...draft.changes)
        latest = draft
      } catch (error) {
        one.reject(error)
      }
    }
    return changes
  }

  /** What ran is committed. */
  resolve(): void {
    for (const one of this.#accepted) one.resolve()
  }

  /** Nothing was committed. */
  reject(error: unknown): void {
    for (const one of this.#waiting) one.reject(error)
  }
}

function refuse(error: Error | undefined): void {
  if (error) throw error
}

function waiting<T>(
  work: (draft: StorageDraft) => T,
  options: ChangeOptions,
  resolve: (value: T) => void,
  reject: (error: unknown) => void,
): Waiting {
  let result: T
  return {
    options,
    run(ground) {
      const draft = new ChangeDraft(ground)
      result = work(draft)
      return draft
    },
    resolve: () => resolve(result),
    reject,
  }
}
