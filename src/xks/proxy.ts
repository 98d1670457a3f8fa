import type { ExternalKeyStore } from './external-key-store.ts'
import type { RequestMetadata } from './request-metadata.ts'

export type XksOperation = 'GetKeyMetadata' | 'Encrypt' | 'Decrypt' | 'GetHealthStatus'

/** One call whose path, method and signature are right: steps 1 to 7 of the order of errors (XKS 1.9) lie behind it. */
export interface XksRequest {
  readonly operation: XksOperation
  readonly store: ExternalKeyStore
  /** From the path, already of the permitted form; undefined for GetHealthStatus. */
  readonly externalKeyId: string | undefined
  /** Of the credential scope: where AWS KMS called from. */
  readonly region: string
  /** Values of the headers that say what the body is, each undefined when absent and 'repeated' when there are several. */
  readonly contentType: string | undefined
  readonly contentEncoding: string | undefined
  readonly body: Buffer
  /**
   * Step 13 of the order of errors: to be called once when everything about the request is found right and a token is about to be
   * used. Throws ThrottlingException under overload. Whoever never uses a token never asks, so health is never shed.
   */
  admit?(): void
  /**
   * Told by a proxy that answers while `work` still goes on at the token: the place that `admit` gave is free when that has settled,
   * and not before.
   */
  goesOn?(work: Promise<unknown>): void
}

/** What the journal tells of a request; filled in on the way, so that it is there whatever fails. */
export interface XksTrail {
  requestMetadata: Partial<RequestMetadata> | undefined
  /** The key material that was used. */
  materialId: string | undefined
  /** Serial of the token that served. */
  tokenSerial: string | undefined
  /** Which statement of which policy, or which pin, decided, in words for the operator (XKS Z-03). */
  decision: string | undefined
}

/** The four operations behind the face. */
export interface XksProxy {
  /** The JSON text of a 200. Throws XksError, and nothing else on purpose; wipes every plaintext that it held. */
  perform(request: XksRequest, trail: XksTrail): Promise<string>
}
