import type { RequestMetadata } from '../xks/request-metadata.ts'
import type { XksEntry } from '../xks/xks-journal.ts'
import { cloudTrailTime, EVENT_VERSION } from './audit-record.ts'

/** A caller may send a long one, and we keep what tells something (XKS M-02: ARNs have up to 2,048 characters). */
const MOST_CHARACTERS = 4096

/** A request of an external key store in CloudTrail's shape. What it encrypted or decrypted is not in it (XKS L-02). */
export function xksRecord(entry: XksEntry, eventId: string): Readonly<Record<string, unknown>> {
  const { facts, trail, error } = entry
  return {
    eventVersion: EVENT_VERSION,
    userIdentity: {
      type: 'AWSService',
      invokedBy: 'kms.amazonaws.com',
      accessKeyId: entry.accessKeyId,
    },
    eventTime: cloudTrailTime(facts.receivedAt),
    eventSource: 'xks-proxy',
    eventName: entry.operation,
    awsRegion: entry.region,
    sourceIPAddress: facts.sourceIp,
    userAgent: facts.userAgent,
    ...(error && { errorCode: error.code, errorMessage: error.message }),
    requestParameters: {
      storeName: entry.storeName,
      externalKeyId: entry.externalKeyId,
      requestMetadata: trail.requestMetadata && shortened(trail.requestMetadata), // XKS L-01, XKS M-06
    },
    responseElements: null,
    additionalEventData: {
      keyMaterialId: trail.materialId,
      tokenSerial: trail.tokenSerial, // XKS L-03
      decision: trail.decision,
      processingMicroseconds: entry.processingMicroseconds, // XKS L-04
    },
    requestID: facts.requestId,
    eventID: eventId,
    readOnly: true,
    resources: [],
    eventType: 'AwsApiCall',
    managementEvent: true,
    eventCategory: 'Management',
  }
}

function shortened(metadata: Partial<RequestMetadata>): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const [name, value] of Object.entries(metadata)) {
    if (value !== undefined) kept[name] = value.slice(0, MOST_CHARACTERS)
  }
  return kept
}
