import type { XksOperation, XksTrail } from './proxy.ts'

/** The facts of a request that are not in its body. */
export interface XksFacts {
  readonly requestId: string
  readonly sourceIp: string
  readonly userAgent: string
  /** Epoch milliseconds at which the request arrived. */
  readonly receivedAt: number
}

/** One authenticated request of an external key store, and what became of it. */
export interface XksEntry {
  readonly operation: XksOperation
  readonly storeName: string
  /** Undefined for GetHealthStatus. */
  readonly externalKeyId: string | undefined
  /** Of the credential scope. */
  readonly region: string
  /** Which of the store's credentials signed. */
  readonly accessKeyId: string
  readonly facts: XksFacts
  readonly trail: XksTrail
  /** As the caller hears it. */
  readonly error?: { readonly code: string; readonly message: string }
  /** From the request's head to this record (XKS L-04). */
  readonly processingMicroseconds: number
}

/** The step before the answer (ARCH-D14): when it rejects, nothing of the reply leaves. */
export interface XksScribe {
  record(entry: XksEntry): Promise<void>
}

export function newXksTrail(): XksTrail {
  return {
    requestMetadata: undefined,
    materialId: undefined,
    tokenSerial: undefined,
    decision: undefined,
  }
}
