import aws4 from 'aws4'

/** Where an XKS proxy listens, and with which credential AWS KMS calls it. */
export interface XksEndpoint {
  readonly host: string
  readonly port: number
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** `/prefix`, or empty. */
  readonly uriPathPrefix: string
  /** CA of the proxy's certificate, PEM; undefined for plain HTTP. */
  readonly ca: string | undefined
  /** What the client shows, PEM, where the proxy asks for it. */
  readonly client?: { readonly cert: string; readonly key: string }
}

/** One call, as `{ path: 'keys/one/encrypt', body: {…} }` or `{ path: 'health', … }`. */
export interface XksCall {
  /** Behind `/kms/xks/v1/`. */
  readonly path: string
  readonly body: Readonly<Record<string, unknown>>
}

export interface XksAnswer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>> & { readonly errorName?: string }
}

/** The bytes of one signed HTTP/1.1 request over a connection that stays open. The signature holds for five minutes. */
export function signedXksWire(endpoint: XksEndpoint, call: XksCall): Buffer {
  const { host, port, region, accessKeyId, secretAccessKey, uriPathPrefix } = endpoint
  const path = `${uriPathPrefix}/kms/xks/v1/${call.path}`
  const body = JSON.stringify(call.body)
  const headers = { Host: `${host}:${port}`, 'Content-Type': 'application/json' }
  const request = { service: 'kms-xks-proxy', region, method: 'POST', path, headers, body }
  const signed = aws4.sign(request, { accessKeyId, secretAccessKey })
  const lines = Object.entries(signed.headers ?? {}).map(
    ([name, value]) => `${name}: ${String(value)}\r\n`,
  )
  return Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`)
}

/** What AWS KMS says about the call behind a call. */
export const REQUEST_METADATA = {
  awsPrincipalArn: 'arn:aws:iam::111122223333:user/alice',
  kmsKeyArn: 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab',
  kmsOperation: 'Encrypt',
  kmsRequestId: '4112f4d6-db54-4af4-ae30-c55a22a8dfae',
} as const

/** Encrypt as AWS KMS sends it: with AAD and the wish for a CDIV. */
export function encryptCall(keyId: string, plaintext: Buffer, aad = Buffer.from('aad')): XksCall {
  return {
    path: `keys/${keyId}/encrypt`,
    body: {
      requestMetadata: REQUEST_METADATA,
      plaintext: plaintext.toString('base64'),
      encryptionAlgorithm: 'AES_GCM',
      additionalAuthenticatedData: aad.toString('base64'),
      ciphertextDataIntegrityValueAlgorithm: 'SHA_256',
    },
  }
}

/** Decrypt of what `encryptCall` was answered with. */
export function decryptCall(
  keyId: string,
  sealed: XksAnswer['body'],
  aad = Buffer.from('aad'),
): XksCall {
  const { ciphertext, initializationVector, authenticationTag, ciphertextMetadata } = sealed
  return {
    path: `keys/${keyId}/decrypt`,
    body: {
      requestMetadata: { ...REQUEST_METADATA, kmsOperation: 'Decrypt' },
      ciphertext,
      initializationVector,
      authenticationTag,
      ciphertextMetadata,
      encryptionAlgorithm: 'AES_GCM',
      additionalAuthenticatedData: aad.toString('base64'),
    },
  }
}

export const HEALTH_CALL: XksCall = {
  path: 'health',
  body: { requestMetadata: { kmsOperation: 'KmsHealthCheck', kmsRequestId: 'health' } },
}
