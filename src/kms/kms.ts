import type { AuditTrail } from './audit-trail.ts'
import type { Caller, RequestFacts } from './caller.ts'
import type { OperationName } from './operation-names.ts'

/** One request to the KMS rules: already authenticated, decoded and validated; members in camelCase (`keyId`, `encryptionContext`). */
export interface KmsRequest {
  readonly operation: OperationName
  readonly caller: Caller
  readonly facts: RequestFacts
  readonly input: Readonly<Record<string, unknown>>
  /** Filled in on the way, also when the request fails: what was touched and which statement decided. */
  readonly trail: AuditTrail
}

/** The KMS rules as the faces see them. */
export interface Kms {
  /** The reply in camelCase, or undefined for operations without output. Throws KmsError. */
  perform(request: KmsRequest): Promise<object | undefined>
}
