import { randomUUID } from 'node:crypto'
import type { AuditLine } from '../kms/audit-trail.ts'
import { cloudTrailTime, EVENT_VERSION } from './audit-record.ts'

/** A change that was made on this host, by its command line or its configuration. Whoever makes one leaves secrets out. */
export interface AdministrationEntry {
  /** As an API would call it: `CreateExternalKey`. */
  readonly eventName: string
  readonly parameters: Readonly<Record<string, unknown>>
  readonly response?: Readonly<Record<string, unknown>>
  /** What storage calls the external key that was changed. */
  readonly keyArn?: string
}

/** The kernel lets our own user and root to the socket, and Node cannot ask it which of them came (ARCH-D18). */
const LOCAL_ADMINISTRATOR = {
  type: 'LocalAdministrator',
  principalId: 'uid unknown: the user of hsm-bridge, or root',
} as const

/** The record of an administrative change of external key stores, in CloudTrail's shape as their requests are. */
export function administrationLine(entry: AdministrationEntry, at: number): AuditLine {
  const eventId = randomUUID()
  const record = {
    eventVersion: EVENT_VERSION,
    userIdentity: LOCAL_ADMINISTRATOR,
    eventTime: cloudTrailTime(at),
    eventSource: 'xks-proxy',
    eventName: entry.eventName,
    sourceIPAddress: 'hsm-bridge',
    userAgent: 'hsm-bridge',
    requestParameters: entry.parameters,
    responseElements: entry.response ?? null,
    eventID: eventId,
    readOnly: false,
    resources: entry.keyArn === undefined ? [] : [{ ARN: entry.keyArn }],
    eventType: 'AwsApiCall',
    managementEvent: true,
    eventCategory: 'Management',
  }
  return { eventId, at, text: JSON.stringify(record) }
}
