/** The exceptions of the AWS KMS API that we throw, with their HTTP status. Client errors are all 400 (kms-facts 4). */
export const KMS_ERRORS = {
  AccessDeniedException: { status: 400 },
  AlreadyExistsException: { status: 400 },
  ConflictException: { status: 400 },
  DependencyTimeoutException: { status: 503 },
  DisabledException: { status: 400 },
  DryRunOperationException: { status: 400 },
  IncompleteSignatureException: { status: 400 },
  IncorrectKeyException: { status: 400 },
  InvalidAliasNameException: { status: 400 },
  InvalidArnException: { status: 400 },
  InvalidCiphertextException: { status: 400 },
  InvalidGrantTokenException: { status: 400 },
  InvalidKeyUsageException: { status: 400 },
  InvalidMarkerException: { status: 400 },
  InvalidSignatureException: { status: 400 },
  KMSInternalException: { status: 500 },
  KMSInvalidStateException: { status: 400 },
  KeyUnavailableException: { status: 500 },
  LimitExceededException: { status: 400 },
  MalformedPolicyDocumentException: { status: 400 },
  MissingAuthenticationTokenException: { status: 400 },
  NotAuthorizedException: { status: 400 },
  NotFoundException: { status: 400 },
  SerializationException: { status: 400 },
  TagException: { status: 400 },
  ThrottlingException: { status: 400 },
  UnknownOperationException: { status: 400 },
  UnrecognizedClientException: { status: 400 },
  UnsupportedOperationException: { status: 400 },
  ValidationException: { status: 400 },
} as const satisfies Record<string, { status: number }>

export type KmsErrorCode = keyof typeof KMS_ERRORS

/** An exception of the KMS API. An absent message is left out of the reply, as AWS does for some (kms-facts 2). */
export class KmsError extends Error {
  readonly code: KmsErrorCode
  readonly hasMessage: boolean

  constructor(code: KmsErrorCode, message?: string, options: { cause?: unknown } = {}) {
    super(message ?? '', options)
    this.name = 'KmsError'
    this.code = code
    this.hasMessage = message !== undefined
  }
}
