interface XksErrorRow {
  readonly status: number
  /** Unless the error says something of its own. */
  readonly message: string
}

/** The twelve error names of the specification's "Error codes" (XKS ). */
export const XKS_ERRORS = {
  ValidationException: { status: 400, message: 'The request is not valid.' },
  InvalidStateException: { status: 400, message: 'The external key is disabled.' },
  InvalidCiphertextException: { status: 400, message: 'The ciphertext cannot be decrypted.' },
  InvalidKeyUsageException: { status: 400, message: 'The external key does not permit this use.' },
  AuthenticationFailedException: {
    status: 401,
    message: 'The request could not be authenticated.',
  },
  AccessDeniedException: { status: 403, message: 'The request is not authorized.' },
  KeyNotFoundException: { status: 404, message: 'The external key does not exist.' },
  InvalidUriPathException: { status: 404, message: 'No external key store has this URI path.' },
  ThrottlingException: { status: 429, message: 'Too many requests.' },
  UnsupportedOperationException: { status: 501, message: 'The operation is not supported.' },
  DependencyTimeoutException: { status: 503, message: 'The key manager did not answer in time.' },
  InternalException: { status: 500, message: 'The proxy could not serve the request.' },
} as const satisfies Record<string, XksErrorRow>

export type XksErrorName = keyof typeof XKS_ERRORS

/** What the caller of the XKS Proxy API is told. `message` is for the key's owner: never a secret, never the token's own words. */
export class XksError extends Error {
  readonly errorName: XksErrorName

  constructor(errorName: XksErrorName, message?: string, options?: ErrorOptions) {
    super(fitForWire(message ?? XKS_ERRORS[errorName].message), options)
    this.name = 'XksError'
    this.errorName = errorName
  }

  get status(): number {
    return XKS_ERRORS[this.errorName].status
  }
}

/** Below the 512 characters that AWS KMS takes (XKS X-13). */
const MAX_MESSAGE_CHARACTERS = 511
const NOT_PRINTABLE = /[^\x20-\x7e]/g

/** What of a text may go out (XKS X-13): names of keys, stores and statements come from outside. */
export function fitForWire(message: string): string {
  return message.replace(NOT_PRINTABLE, '?').slice(0, MAX_MESSAGE_CHARACTERS)
}
