import { TextOfSecond } from '../bytes/text-of-second.ts'
import type { AuditEntry } from '../kms/audit-trail.ts'
import type { Caller } from '../kms/caller.ts'

export const EVENT_VERSION = '1.11'

/** A record in CloudTrail's shape, so that what reads CloudTrail reads ours. */
export function auditRecord(entry: AuditEntry, eventId: string): Readonly<Record<string, unknown>> {
  const { caller, service, facts, trail, error } = entry
  return {
    eventVersion: EVENT_VERSION,
    userIdentity: userIdentity(entry),
    eventTime: cloudTrailTime(facts.receivedAt),
    eventSource: 'kms.amazonaws.com',
    eventName: entry.operation,
    awsRegion: caller?.region ?? service?.region,
    sourceIPAddress: facts.sourceIp,
    userAgent: facts.userAgent,
    ...(error && { errorCode: error.code, errorMessage: error.message }),
    requestParameters: service ? null : trail.parameters,
    responseElements: (error ? undefined : trail.response) ?? null,
    additionalEventData: trail.decision && { decision: trail.decision },
    requestID: facts.requestId,
    eventID: eventId,
    readOnly: trail.readOnly,
    resources: trail.resources.map(resource),
    eventType: service ? 'AwsServiceEvent' : 'AwsApiCall',
    managementEvent: true,
    recipientAccountId: caller?.accountId ?? service?.accountId,
    eventCategory: 'Management',
  }
}

function userIdentity({ caller, service }: AuditEntry) {
  if (service) return { accountId: service.accountId, invokedBy: 'hsm-bridge' }
  if (!caller) return { type: 'Unknown' }
  return {
    type: identityType(caller),
    principalId: caller.userId,
    arn: caller.arn,
    accountId: caller.accountId,
    accessKeyId: caller.accessKeyId,
    userName: caller.userName,
  }
}

function identityType({ arn }: Caller): 'Root' | 'Role' | 'AssumedRole' | 'IAMUser' {
  if (arn.endsWith(':root')) return 'Root'
  if (arn.includes(':assumed-role/')) return 'AssumedRole'
  return arn.includes(':role/') ? 'Role' : 'IAMUser'
}

function resource(arn: string) {
  const [, , , , accountId, name] = arn.split(':')
  const type = name?.startsWith('alias/') ? 'AWS::KMS::Alias' : 'AWS::KMS::Key'
  return { accountId, type, ARN: arn }
}

const timeOfSecond = new TextOfSecond((ms) => `${new Date(ms).toISOString().slice(0, 19)}Z`)

/** Whole seconds, as CloudTrail writes them. */
export function cloudTrailTime(epochMs: number): string {
  return timeOfSecond.at(epochMs)
}
