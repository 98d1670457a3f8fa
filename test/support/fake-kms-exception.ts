/** What AWS KMS says to its own caller. `proxyError` is what it heard from the proxy, or how it heard nothing. */
export class KmsException extends Error {
  readonly proxyError: string

  constructor(name: string, proxyError: string, message = proxyError) {
    super(message)
    this.name = name
    this.proxyError = proxyError
  }
}

/** Besides the error names of the specification: no answer, an answer in time, and one that makes no sense. */
export type ProxyFailure = 'unreachable' | 'timeout' | 'malformed'

interface ExceptionRow {
  /** CreateCustomKeyStore and UpdateCustomKeyStore. */
  readonly store: string
  readonly createKey: string
  /** Error code of a ConnectCustomKeyStore that failed. */
  readonly connect: string
}

const NO_RESPONSE_WE_KNOW: ExceptionRow = {
  store: 'XksProxyInvalidResponseException',
  createKey: 'CustomKeyStoreInvalidStateException',
  connect: 'XKS_PROXY_INVALID_RESPONSE',
}
const UNREACHABLE: ExceptionRow = {
  store: 'XksProxyUriUnreachableException',
  createKey: 'CustomKeyStoreInvalidStateException',
  connect: 'XKS_PROXY_NOT_REACHABLE',
}

/** By error name of the proxy: the table "KMS Considerations" of the specification's error codes. */
const EXCEPTIONS: ReadonlyMap<string, Partial<ExceptionRow>> = new Map<
  string,
  Partial<ExceptionRow>
>([
  ['InvalidStateException', { createKey: 'XksKeyInvalidConfigurationException' }],
  ['InvalidKeyUsageException', { createKey: 'XksKeyInvalidConfigurationException' }],
  [
    'AuthenticationFailedException',
    {
      store: 'XksProxyIncorrectAuthenticationCredentialException',
      connect: 'XKS_PROXY_ACCESS_DENIED',
    },
  ],
  ['AccessDeniedException', { createKey: 'KMSInvalidStateException' }],
  ['KeyNotFoundException', { createKey: 'XksKeyNotFoundException' }],
  [
    'InvalidUriPathException',
    {
      store: 'XksProxyInvalidConfigurationException',
      connect: 'XKS_PROXY_INVALID_CONFIGURATION',
    },
  ],
  ['UnsupportedOperationException', { createKey: 'XksKeyInvalidResponseException' }],
  ['DependencyTimeoutException', { ...UNREACHABLE, connect: 'XKS_PROXY_TIMED_OUT' }],
  ['ThrottlingException', UNREACHABLE],
  ['unreachable', UNREACHABLE],
  ['timeout', { ...UNREACHABLE, connect: 'XKS_PROXY_TIMED_OUT' }],
])

/** The exception, or connection error code, for an error of the proxy. */
export function exceptionFor(proxyError: string, during: keyof ExceptionRow | 'crypto'): string {
  // Whatever goes wrong with a ciphertext, callers of KMS hear one name.
  if (during === 'crypto') return 'KMSInvalidStateException'
  return { ...NO_RESPONSE_WE_KNOW, ...EXCEPTIONS.get(proxyError) }[during]
}
