import { randomUUID } from 'node:crypto'
import { type AuditLine, newTrail } from './audit-trail.ts'
import type { RequestFacts } from './caller.ts'
import type { Key } from './key.ts'
import type { KeyDraft } from './key-storage.ts'
import type { KmsContext } from './kms-context.ts'

/** The audit record of something that nobody asked for in this moment, put into the transaction that does it. */
export function recordServiceEvent(
  { scribe, clock }: KmsContext,
  draft: KeyDraft,
  key: Key,
  eventName: string,
): AuditLine | undefined {
  if (!scribe) return undefined
  const trail = newTrail()
  trail.resources.push(key.arn)
  const line = scribe.compose({
    caller: undefined,
    service: { accountId: key.accountId, region: key.region },
    facts: ownFacts(clock.now()),
    operation: eventName,
    trail,
  })
  draft.addAuditLine(line)
  return line
}

/** Sends the record on after the commit. When that fails it stays in the outbox, so nothing is lost. */
export async function deliverServiceEvent(
  { scribe, notify }: KmsContext,
  line: AuditLine | undefined,
): Promise<void> {
  if (!scribe || !line) return
  try {
    await scribe.deliver(line)
  } catch (cause) {
    notify({ level: 'error', message: 'an audit record waits in the outbox', cause })
  }
}

function ownFacts(receivedAt: number): RequestFacts {
  return {
    requestId: randomUUID(),
    sourceIp: 'hsm-bridge',
    secureTransport: true,
    userAgent: 'hsm-bridge',
    receivedAt,
  }
}
