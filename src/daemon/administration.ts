import { type AdministrationEntry, administrationLine } from '../audit/administration-record.ts'
import { createAuditLog } from '../audit/audit-log.ts'
import type { AuditLine } from '../kms/audit-trail.ts'
import { systemClock } from '../kms/clock.ts'
import type { Storage, StorageDraft } from '../storage/storage.ts'
import type { Config } from './config.ts'
import type { Logger } from './log.ts'

/** Puts the record of a change into the change's own transaction: called once, as its last step. */
export type NoteChange = (
  draft: Pick<StorageDraft, 'addAuditLine'>,
  entry: AdministrationEntry,
) => void

/** For changes that nobody administers, as tests make them. */
export const UNRECORDED: NoteChange = () => undefined

/** The audit records of administrative changes (ARCH-D14): committed with the change, then sent on to the spool. */
export class Administration {
  /** Appends to the spool; set by the daemon, which writes it. Without it a record waits in the outbox. */
  deliver: ((line: AuditLine) => Promise<void>) | undefined
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Makes one change, whose record is what it notes in its transaction. When the spool fails, the outbox keeps the record. */
  async recorded<T>(change: (note: NoteChange) => Promise<T>): Promise<T> {
    let line: AuditLine | undefined
    const result = await change((draft, entry) => {
      line = administrationLine(entry, systemClock.now())
      draft.addAuditLine(line)
    })
    try {
      if (line) await this.deliver?.(line)
    } catch (error) {
      this.#logger.error('an audit record waits in the outbox', { error })
    }
    return result
  }

  /** Records what storage has no part in. Throws AuditError: then it must not be done. */
  async record(entry: AdministrationEntry): Promise<void> {
    await this.deliver?.(administrationLine(entry, systemClock.now()))
  }
}

interface Recording {
  readonly storage: Pick<Storage, 'outbox'>
  readonly config: Pick<Config, 'audit'>
  readonly logger: Logger
}

/** For a process that is no daemon and has the state lock: what its command recorded goes from the outbox to the spool. */
export async function sendRecordsOn({ storage, config, logger }: Recording): Promise<void> {
  const onError = (error: unknown): void => logger.error('audit', { error })
  try {
    const { outbox } = storage
    if ((await outbox.pending()).length === 0) return
    const audit = await createAuditLog({ ...config.audit, clock: systemClock, outbox, onError })
    await audit.close()
  } catch (error) {
    onError(error)
  }
}
