import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import type { AuditEntry, AuditLine, AuditScribe, AuditTrail } from '../kms/audit-trail.ts'
import type { Clock } from '../kms/clock.ts'
import type { XksEntry, XksScribe } from '../xks/xks-journal.ts'
import type { AuditOutbox } from './audit-outbox.ts'
import { auditRecord } from './audit-record.ts'
import { lineBytes } from './line-bytes.ts'
import { Spool, type SyncedFile } from './spool.ts'
import { xksRecord } from './xks-record.ts'

export interface AuditLogOptions {
  readonly directory: string
  /** What an answer waits for: that the record was handed to the system, or that it is on the disk. State changes wait for the disk. */
  readonly durability: 'write' | 'fsync'
  readonly clock: Pick<Clock, 'now'>
  /** Where records of state changes lie until the spool has them; absent in tests without storage. */
  readonly outbox?: AuditOutbox
  /** Hears of trouble that no request waits for. */
  readonly onError?: (error: unknown) => void
}

/** The audit record could not be written: the request that it belongs to must fail. */
export class AuditError extends Error {
  constructor(cause: unknown) {
    super('the audit record could not be written', { cause })
    this.name = 'AuditError'
  }
}

interface Waiting {
  readonly line: AuditLine
  readonly toDisk: boolean
  resolve(): void
  reject(error: AuditError): void
}

/** Opens the spool and appends what an earlier process committed but could not write any more. */
export async function createAuditLog(options: AuditLogOptions): Promise<AuditLog> {
  await mkdir(options.directory, { recursive: true, mode: 0o700 })
  const log = new AuditLog(options)
  await log.deliverOutbox()
  return log
}

/**
 * Audit records as lines of JSON (ARCH-D14). Records that arrive while a write is under way share the next one. Whoever records
 * waits until its record is written, and fails when it cannot be.
 */
export class AuditLog implements AuditScribe {
  /** The same spool for the requests of external key stores. They change nothing, so none waits for the disk unless all do. */
  readonly xks: XksScribe = { record: (entry) => this.#recordXks(entry) }
  readonly #options: AuditLogOptions
  readonly #spool: Spool
  /** Records that were written into a change's transaction, by the trail of their request. */
  readonly #composed = new WeakMap<AuditTrail, AuditLine>()
  #waiting: Waiting[] = []
  #writing: Promise<void> | undefined
  #afterwork: Promise<unknown> = Promise.resolve()

  constructor(options: AuditLogOptions) {
    this.#options = options
    this.#spool = new Spool(options.directory)
  }

  compose(entry: AuditEntry): AuditLine {
    const eventId = randomUUID()
    entry.trail.eventId = eventId
    const text = JSON.stringify(auditRecord(entry, eventId))
    const line = { eventId, at: this.#options.clock.now(), text }
    this.#composed.set(entry.trail, line)
    return line
  }

  /** Writes the record of a request; for a state change that is the very record that was committed with it. Throws AuditError. */
  async record(entry: AuditEntry): Promise<void> {
    const committed = entry.error ? undefined : this.#composed.get(entry.trail)
    if (committed) return this.deliver(committed)
    const changed = !entry.error && !entry.trail.readOnly
    const toDisk = this.#options.durability === 'fsync' || changed
    return this.#append(this.compose(entry), toDisk)
  }

  #recordXks(entry: XksEntry): Promise<void> {
    const eventId = randomUUID()
    const text = JSON.stringify(xksRecord(entry, eventId))
    const line = { eventId, at: this.#options.clock.now(), text }
    return this.#append(line, this.#options.durability === 'fsync')
  }

  async deliver(line: AuditLine): Promise<void> {
    await this.#append(line, true)
    this.#later(this.#options.outbox?.remove([line.eventId]))
  }

  /** Appends what the outbox holds and the spool does not. Younger records may be on their way by themselves. */
  async deliverOutbox(olderThanMs = 0): Promise<void> {
    const { outbox, clock } = this.#options
    const youngest = clock.now() - olderThanMs
    const pending = ((await outbox?.pending()) ?? []).filter((line) => line.at <= youngest)
    if (!outbox || pending.length === 0) return
    const eventIds = pending.map((line) => line.eventId)
    const written = await this.#spool.findRecent(eventIds)
    const missing = pending.filter((line) => !written.has(line.eventId))
    await Promise.all(missing.map((line) => this.#append(line, true)))
    await outbox.remove(eventIds)
  }

  async close(): Promise<void> {
    await this.#writing
    await this.#afterwork
    await this.#spool.close()
  }

  #append(line: AuditLine, toDisk: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ line, toDisk, resolve, reject })
      this.#writing ??= this.#writeAll()
    })
  }

  async #writeAll(): Promise<void> {
    await new Promise(setImmediate) // whatever this turn of the event loop records comes along
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      await this.#write(batch)
    }
    this.#writing = undefined
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    try {
      const text = batch.map(({ line }) => `${line.text}\n`).join('')
      const file = await this.#spool.append(this.#options.clock.now(), lineBytes(text))
      const [toDisk, written] = [batch.filter(isToDisk), batch.filter((one) => !isToDisk(one))]
      for (const one of written) one.resolve()
      if (toDisk.length > 0) this.#later(syncFor(file, toDisk)) // whoever needs only a write does not wait for the disk
    } catch (cause) {
      for (const one of batch) one.reject(new AuditError(cause))
    }
  }

  #later(work: Promise<void> | undefined): void {
    const done = work?.catch((error) => this.#options.onError?.(error))
    this.#afterwork = Promise.allSettled([this.#afterwork, done])
  }
}

function isToDisk({ toDisk }: Waiting): boolean {
  return toDisk
}

async function syncFor(file: SyncedFile, batch: readonly Waiting[]): Promise<void> {
  try {
    await file.sync()
    for (const one of batch) one.resolve()
  } catch (cause) {
    for (const one of batch) one.reject(new AuditError(cause))
  }
}
