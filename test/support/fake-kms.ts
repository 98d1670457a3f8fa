import { createCipheriv, createDecipheriv, createHash, randomBytes, randomUUID } from 'node:crypto'
import type { ConnectionOptions } from 'node:tls'
import { FieldReader, fields } from '../../src/bytes/fields.ts'
import { exceptionFor, KmsException } from './fake-kms-exception.ts'
import { FakeKmsHost, TransportFailure, type XksReply } from './fake-kms-host.ts'
import type { ReferenceCredential } from './reference-sigv4.ts'

export interface FakeKmsOptions {
  readonly uriEndpoint: URL
  /** With `/kms/xks/v1` at its end. */
  readonly uriPath: string
  readonly credential: ReferenceCredential
  readonly region?: string
  /** CA, and client certificate with its key. */
  readonly tls?: ConnectionOptions
  /** Hosts of the fleet, each with its own connections. */
  readonly hosts?: number
  readonly connectionsPerHost?: number
}

/** One call of the proxy, all its attempts together. */
export interface ProxyCall {
  readonly operation: Operation
  readonly attempts: number
  readonly milliseconds: number
  /** Error name, or how there was none to hear; undefined for a good answer. */
  readonly proxyError: string | undefined
}

type Operation = 'metadata' | 'encrypt' | 'decrypt' | 'health'
type During = Parameters<typeof exceptionFor>[1]
type Members = Record<string, unknown>
type EncryptionContext = Readonly<Record<string, string>>

/** AWS KMS gives up after this, connection included. */
const TIMEOUT_MS = 250
const ATTEMPTS = 2
const MAX_METADATA_BYTES = 20
const PRINCIPAL = 'arn:aws:iam::123456789012:user/Alice'

interface FakeKey {
  readonly arn: string
  readonly externalKeyId: string
  /** KMS encrypts with a key of its own before the proxy does. */
  readonly inner: Buffer
}

/** AWS KMS with one external key store, as a proxy sees it, and as its callers do. */
export class FakeKms {
  /** Every call of the proxy, in order. */
  readonly calls: ProxyCall[] = []
  readonly #options: FakeKmsOptions
  readonly #hosts: readonly FakeKmsHost[]
  readonly #keys = new Map<string, FakeKey>()
  #turn = 0
  #connected = false

  private constructor(options: FakeKmsOptions) {
    this.#options = options
    const { uriEndpoint, credential, region = 'eu-west-1', tls = {} } = options
    const { hosts = 4, connectionsPerHost = 8 } = options
    this.#hosts = Array.from(
      { length: hosts },
      () => new FakeKmsHost(uriEndpoint, region, credential, tls, connectionsPerHost),
    )
  }

  /** Asks for health first, as AWS KMS does. Throws KmsException. */
  static async createCustomKeyStore(options: FakeKmsOptions): Promise<FakeKms> {
    const kms = new FakeKms(options)
    try {
      const health = await kms.#health('CreateCustomKeyStore', 'store')
      if (allUnavailable(health))
        throw new KmsException('XksProxyUriUnreachableException', 'UNAVAILABLE')
      return kms
    } catch (error) {
      kms.close()
      throw error
    }
  }

  /** `CONNECTED`, or the error code of a connection that failed. */
  async connect(): Promise<string> {
    try {
      const health = await this.#health('ConnectCustomKeyStore', 'connect')
      if (allUnavailable(health)) return 'XKS_PROXY_NOT_REACHABLE'
      this.#connected = true
      return 'CONNECTED'
    } catch (error) {
      if (error instanceof KmsException) return error.name
      throw error
    }
  }

  disconnect(): void {
    this.#connected = false
  }

  /** The health check that no caller asked for. */
  healthCheck(): Promise<Members> {
    return this.#health('KmsHealthCheck', 'store')
  }

  /** Host by host, with a pause between them: for a while both credentials are in use. */
  async updateCredential(credential: ReferenceCredential, pauseMs = 0): Promise<void> {
    for (const host of this.#hosts) {
      host.credential = credential
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }

  /** The ARN of a KMS key on an external key. Throws KmsException. */
  async createKey(externalKeyId: string): Promise<string> {
    this.#assertConnected('CustomKeyStoreInvalidStateException')
    if ([...this.#keys.values()].some((it) => it.externalKeyId === externalKeyId))
      throw new KmsException('XksKeyAlreadyInUseException', 'in use')
    const requestMetadata = { awsPrincipalArn: PRINCIPAL, kmsOperation: 'CreateKey' }
    const path = `/keys/${externalKeyId}/metadata`
    const members = await this.#call('metadata', path, { requestMetadata }, 'createKey')
    const { keySpec, keyUsage, keyStatus } = members
    const usages: readonly unknown[] = Array.isArray(keyUsage) ? keyUsage : []
    const usable = usages.includes('ENCRYPT') && usages.includes('DECRYPT')
    if (keySpec !== 'AES_256' || keyStatus !== 'ENABLED' || !usable)
      throw new KmsException('XksKeyInvalidConfigurationException', JSON.stringify(members))
    const arn = `arn:aws:kms:${this.#options.region ?? 'eu-west-1'}:123456789012:key/${randomUUID()}`
    this.#keys.set(arn, { arn, externalKeyId, inner: randomBytes(32) })
    return arn
  }

  /** A ciphertext blob. Throws KmsException. */
  async encrypt(
    arn: string,
    plaintext: Buffer,
    context: EncryptionContext = {},
    kmsOperation = 'Encrypt',
  ): Promise<Buffer> {
    this.#assertConnected('KMSInvalidStateException')
    const key = this.#key(arn)
    const aad = blobHeader(key, context)
    const inside = sealInside(key, plaintext, aad)
    const members = await this.#call(
      'encrypt',
      `/keys/${key.externalKeyId}/encrypt`,
      {
        requestMetadata: { awsPrincipalArn: PRINCIPAL, kmsKeyArn: arn, kmsOperation },
        plaintext: inside.toString('base64'),
        encryptionAlgorithm: 'AES_GCM',
        additionalAuthenticatedData: aad.toString('base64'),
        ciphertextDataIntegrityValueAlgorithm: 'SHA_256',
      },
      'crypto',
    )
    return packBlob(arn, checkEncrypted(members, aad, inside.length))
  }

  async generateDataKey(arn: string): Promise<{ plaintext: Buffer; ciphertext: Buffer }> {
    const plaintext = randomBytes(32)
    return { plaintext, ciphertext: await this.encrypt(arn, plaintext, {}, 'GenerateDataKey') }
  }

  /** Throws KmsException. */
  async decrypt(
    blob: Buffer,
    context: EncryptionContext = {},
    kmsOperation = 'Decrypt',
  ): Promise<Buffer> {
    this.#assertConnected('KMSInvalidStateException')
    const { arn, parts } = unpackBlob(blob)
    const key = this.#key(arn)
    const aad = blobHeader(key, context)
    const [ciphertext, ciphertextMetadata, initializationVector, authenticationTag] = parts
    const members = await this.#call(
      'decrypt',
      `/keys/${key.externalKeyId}/decrypt`,
      {
        requestMetadata: { awsPrincipalArn: PRINCIPAL, kmsKeyArn: arn, kmsOperation },
        encryptionAlgorithm: 'AES_GCM',
        additionalAuthenticatedData: aad.toString('base64'),
        ciphertext: ciphertext.toString('base64'),
        ...(ciphertextMetadata.length > 0 && {
          ciphertextMetadata: ciphertextMetadata.toString('base64'),
        }),
        initializationVector: initializationVector.toString('base64'),
        authenticationTag: authenticationTag.toString('base64'),
      },
      'crypto',
    )
    return openInside(key, bytesOf(members, 'plaintext'), aad)
  }

  async reEncrypt(blob: Buffer, toArn: string): Promise<Buffer> {
    return await this.encrypt(toArn, await this.decrypt(blob, {}, 'ReEncrypt'), {}, 'ReEncrypt')
  }

  close(): void {
    for (const host of this.#hosts) host.close()
  }

  #key(arn: string): FakeKey {
    const key = this.#keys.get(arn)
    if (key === undefined) throw new KmsException('NotFoundException', 'no such KMS key')
    return key
  }

  #assertConnected(exception: string): void {
    if (!this.#connected) throw new KmsException(exception, 'not connected')
  }

  #health(kmsOperation: string, during: During): Promise<Members> {
    return this.#call('health', '/health', { requestMetadata: { kmsOperation } }, during)
  }

  async #call(operation: Operation, path: string, body: Members, during: During): Promise<Members> {
    const requestMetadata = { ...(body['requestMetadata'] as Members), kmsRequestId: randomUUID() }
    const text = JSON.stringify({ ...body, requestMetadata })
    const started = performance.now()
    let attempts = 0
    const record = (proxyError?: string) => {
      const milliseconds = performance.now() - started
      this.calls.push({ operation, attempts, milliseconds, proxyError })
    }
    for (;;) {
      attempts++
      try {
        const host = this.#hosts[this.#turn++ % this.#hosts.length] as FakeKmsHost
        const reply = await host.post(`${this.#options.uriPath}${path}`, text, TIMEOUT_MS)
        const { members, proxyError } = readReply(reply)
        record(proxyError)
        if (proxyError === undefined) return members
        throw new KmsException(exceptionFor(proxyError, during), proxyError, reply.text)
      } catch (error) {
        // Only what the network did is tried again, and once.
        if (!(error instanceof TransportFailure)) throw error
        if (attempts < ATTEMPTS) continue
        record(error.failure)
        throw new KmsException(exceptionFor(error.failure, during), error.failure, error.message)
      }
    }
  }
}

function readReply({ status, contentType, text }: XksReply): {
  members: Members
  proxyError: string | undefined
} {
  const members = parseObject(text)
  const isJson = contentType?.startsWith('application/json') === true
  if (members === undefined || !isJson) return { members: {}, proxyError: 'malformed' }
  if (status === 200) return { members, proxyError: undefined }
  const { errorName } = members
  return { members, proxyError: typeof errorName === 'string' ? errorName : 'malformed' }
}

function parseObject(text: string): Members | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Members) : undefined
  } catch {
    return undefined
  }
}

function allUnavailable({ ekmFleetDetails }: Members): boolean {
  const fleet = Array.isArray(ekmFleetDetails) ? (ekmFleetDetails as Members[]) : []
  return fleet.every(({ healthStatus }) => healthStatus === 'UNAVAILABLE')
}

type BlobParts = readonly [ciphertext: Buffer, metadata: Buffer, iv: Buffer, tag: Buffer]

/** What KMS looks at before it believes an encryption. Throws KmsException. */
function checkEncrypted(members: Members, aad: Buffer, length: number): BlobParts {
  const ciphertext = bytesOf(members, 'ciphertext')
  const iv = bytesOf(members, 'initializationVector')
  const tag = bytesOf(members, 'authenticationTag')
  const metadata = bytesOf(members, 'ciphertextMetadata', true)
  const cdiv = bytesOf(members, 'ciphertextDataIntegrityValue')
  const input = Buffer.concat([aad, metadata, iv, ciphertext, tag])
  const complaint =
    (ciphertext.length !== length && 'length of the ciphertext') ||
    (![12, 16].includes(iv.length) && 'length of the IV') ||
    (tag.length !== 16 && 'length of the tag') ||
    (metadata.length > MAX_METADATA_BYTES && 'length of the metadata') ||
    (!createHash('sha256').update(input).digest().equals(cdiv) && 'integrity value')
  if (complaint) throw malformed(complaint)
  return [ciphertext, metadata, iv, tag]
}

function bytesOf(members: Members, name: string, optional = false): Buffer {
  const text = members[name] ?? (optional ? '' : undefined)
  if (typeof text !== 'string') throw malformed(`no ${name}`)
  return Buffer.from(text, 'base64')
}

function malformed(what: string): KmsException {
  return new KmsException('KMSInvalidStateException', 'malformed', what)
}

function blobHeader({ arn }: FakeKey, context: EncryptionContext): Buffer {
  const pairs = Object.entries(context).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return fields().sized(2, arn).sized(2, JSON.stringify(pairs)).bytes()
}

function packBlob(arn: string, parts: BlobParts): Buffer {
  const blob = fields().sized(2, arn)
  for (const part of parts) blob.sized(2, part)
  return blob.bytes()
}

function unpackBlob(blob: Buffer): { arn: string; parts: BlobParts } {
  const reader = new FieldReader(blob)
  const arn = reader.sized(2).toString()
  return { arn, parts: [reader.sized(2), reader.sized(2), reader.sized(2), reader.sized(2)] }
}

function sealInside({ inner }: FakeKey, plaintext: Buffer, aad: Buffer): Buffer {
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', inner, iv)
  cipher.setAAD(aad)
  return Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

function openInside({ inner }: FakeKey, sealed: Buffer, aad: Buffer): Buffer {
  if (sealed.length < 28) throw malformed('a plaintext that is too short')
  const decipher = createDecipheriv('aes-256-gcm', inner, sealed.subarray(0, 12), {
    authTagLength: 16,
  })
  decipher.setAAD(aad).setAuthTag(sealed.subarray(-16))
  const opened = decipher.update(sealed.subarray(12, -16))
  try {
    return Buffer.concat([opened, decipher.final()])
  } catch {
    throw malformed('a plaintext that is not the one')
  }
}
