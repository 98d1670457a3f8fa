/** What a TLS face is made of, as PEM. RSA and EC keys, PKCS #8 and SEC 1. */
export interface TlsMaterial {
  /** The server's certificate, behind it what leads to its CA. */
  readonly cert: Buffer | string
  readonly key: Buffer | string
  /** Present: only clients with such a certificate may connect (XKS T-08). */
  readonly clients?: ClientRule
}

/** XKS T-09: which client certificates are taken. */
export interface ClientRule {
  /** Certificates of the CAs, one or more. */
  readonly ca: Buffer | string
  /** The subject must have one common name, and it must be one of these. */
  readonly subjectNames: readonly string[]
  /** Revocation lists, PEM or DER: of every CA in `ca`, or none at all. */
  readonly crls?: readonly (Buffer | string)[]
}

export type TlsMaterialCode =
  | 'CERTIFICATE'
  | 'KEY'
  | 'CLIENT_CA'
  | 'CLIENT_CRL'
  | 'SUBJECT_NAMES'
  | 'CLIENT_RULE'

/** A part that cannot be used; the code names it. */
export class TlsMaterialError extends Error {
  readonly code: TlsMaterialCode

  constructor(code: TlsMaterialCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'TlsMaterialError'
    this.code = code
  }
}

/** What OpenSSL says of a file may quote it; the cause is for the log. */
export function attempt<T>(code: TlsMaterialCode, message: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    throw new TlsMaterialError(code, message, { cause })
  }
}
