import type { KeyDraft } from './key-storage.ts'
import type { KmsContext } from './kms-context.ts'
import type { RequestOf } from './operation.ts'

/** Puts the audit record of a state change into the change's own transaction (ARCH-D14). Call it last, with the trail complete. */
export function recordChange(
  { scribe }: KmsContext,
  draft: KeyDraft,
  request: RequestOf<unknown>,
): void {
  if (!scribe) return
  const { caller, facts, operation, trail } = request
  const line = scribe.compose({ caller, facts, operation, trail })
  trail.eventId = line.eventId
  draft.addAuditLine(line)
}
