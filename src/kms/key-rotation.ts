import { agreedNow } from './heartbeat.ts'
import type { KmsContext } from './kms-context.ts'
import { rotateDueKey } from './rotation.ts'
import { isRotationDue } from './rotation-schedule.ts'
import { deliverServiceEvent, recordServiceEvent } from './service-event.ts'

export interface RotationReport {
  /** ARNs of keys that encrypt under new material now. */
  readonly rotated: readonly string[]
  /** ARNs of keys that are due by the wall clock, while the heartbeat disagrees. */
  readonly held: readonly string[]
  /** ARNs of keys whose rotation did not succeed; it is tried again. */
  readonly failed: readonly string[]
}

/** Rotates keys whose date has come. The date lies in storage, so it outlives every restart. */
export class KeyRotation {
  readonly #context: KmsContext

  constructor(context: KmsContext) {
    this.#context = context
  }

  /** Rotates what is due, each key once, however many dates were missed. Nothing while storage is read-only (FM-F30). */
  async rotateDueKeys(): Promise<RotationReport> {
    const { storage, clock } = this.#context
    const report = { rotated: [] as string[], held: [] as string[], failed: [] as string[] }
    if (storage.readOnlyReason !== undefined) return report
    const wall = clock.now()
    const due = [...storage.snapshot.allKeys()].filter((key) => isRotationDue(key, wall))
    for (const key of due) {
      // FM-F26: the wall clock alone rotates nothing.
      if (!isRotationDue(key, agreedNow(this.#context))) report.held.push(key.arn)
      else if (await this.#rotateKey(key.arn)) report.rotated.push(key.arn)
      else if (this.#isStillDue(key.arn)) report.failed.push(key.arn)
    }
    return report
  }

  async #rotateKey(arn: string): Promise<boolean> {
    try {
      const line = await rotateDueKey(this.#context, arn, (draft, key) => ({
        line: recordServiceEvent(this.#context, draft, key, 'RotateKey'),
      }))
      if (!line) return false
      await deliverServiceEvent(this.#context, line.line)
      return true
    } catch (cause) {
      if (this.#isStillDue(arn)) this.#tellFailure(arn, cause)
      return false
    }
  }

  #isStillDue(arn: string): boolean {
    const key = this.#context.storage.snapshot.findKey(arn)
    return key !== undefined && isRotationDue(key, agreedNow(this.#context))
  }

  #tellFailure(keyArn: string, cause: unknown): void {
    this.#context.notify({
      level: 'error',
      message: 'a key that is due could not be rotated; it will be tried again',
      keyArn,
      cause,
    })
  }
}
