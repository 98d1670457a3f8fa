import { randomBytes, randomUUID } from 'node:crypto'
import type { Answer } from './answer.ts'
import { type Attempt, bytesOf, type Header, type Signing, signingOfKms } from './attempt.ts'
import type { ConformanceTarget } from './conformance-target.ts'
import { assertGranted, bytesMember } from './expectation.ts'
import { NoAnswer, NotApplicable } from './nonconformity.ts'
import { WireConnection } from './wire-connection.ts'

export type Operation = 'metadata' | 'encrypt' | 'decrypt' | 'health'

export const OPERATIONS: readonly Operation[] = ['metadata', 'encrypt', 'decrypt', 'health']

/** How a request differs from the one that AWS KMS would send. */
export interface Changes {
  readonly keyId?: string
  readonly prefix?: string
  /** Stands for the whole request target. */
  readonly target?: string
  readonly method?: string
  /** Values of Content-Type, one header each. */
  readonly contentType?: readonly string[]
  readonly headers?: readonly Header[]
  /** Laid over the members of the body; an undefined one is left out. */
  readonly members?: Readonly<Record<string, unknown>>
  /** Laid over requestMetadata. */
  readonly requestMetadata?: Readonly<Record<string, unknown>>
  /** Stands for the whole body. */
  readonly body?: Buffer | string
  /** Laid over the signing of AWS KMS; null leaves the request unsigned. */
  readonly signing?: Partial<Signing> | null
  readonly finish?: Attempt['finish']
  readonly bodySent?: Buffer
  readonly claimedLength?: number
}

// We ask faster than a quota may permit, and no row is about quotas: wait, and ask again.
const THROTTLED = 429
const THROTTLED_ATTEMPTS = 6
const THROTTLED_PAUSE_MS = 200

/** What one Encrypt gave, with what went in. */
export interface Sealed {
  readonly plaintext: Buffer
  /** Undefined: none was sent. */
  readonly aad: Buffer | undefined
  readonly ciphertext: Buffer
  readonly initializationVector: Buffer
  readonly authenticationTag: Buffer
  /** Undefined: the proxy returned none. */
  readonly ciphertextMetadata: Buffer | undefined
  /** The CDIV, if it was asked for. */
  readonly integrityValue: Buffer | undefined
}

/** One request and what came of it, kept for the rows about all answers. */
export interface Observation {
  readonly what: string
  readonly method: string
  readonly answer: Answer
}

/** The proxy as rows see it: requests as AWS KMS sends them, each changed as a row wants. */
export class ProxyUnderTest {
  readonly target: ConformanceTarget
  readonly observations: Observation[] = []
  #connection: WireConnection | undefined
  #sealed: Promise<Sealed> | undefined

  constructor(target: ConformanceTarget) {
    this.target = target
  }

  get overTls(): boolean {
    return this.target.url.protocol === 'https:'
  }

  /** A part of the target that not every proxy has. Throws NotApplicable, naming the option that would give it. */
  need<Name extends keyof ConformanceTarget>(
    name: Name,
    option: string,
  ): NonNullable<ConformanceTarget[Name]> {
    const value = this.target[name]
    if (value === undefined || value === null) throw new NotApplicable(`${option} is not given`)
    return value
  }

  connect(): Promise<WireConnection> {
    return WireConnection.open(this.target)
  }

  /** Sends one request of an operation and returns its answer, whatever it is. Throws NoAnswer. */
  async call(operation: Operation, changes: Changes = {}): Promise<Answer> {
    const attempt = await this.prepare(operation, changes)
    return this.send(attempt, operation)
  }

  /** The request that `call` would send. */
  async prepare(operation: Operation, changes: Changes = {}): Promise<Attempt> {
    const { target, credential, region } = {
      ...this.target,
      target: this.#path(operation, changes),
    }
    const signing =
      changes.signing === null
        ? undefined
        : { ...signingOfKms(credential, region, Date.now()), ...changes.signing }
    const body = changes.body ?? JSON.stringify(await this.#members(operation, changes))
    const contentTypes = changes.contentType ?? ['application/json']
    return {
      method: changes.method ?? 'POST',
      target,
      headers: [
        ['Host', this.target.url.host],
        ...contentTypes.map((value) => ['Content-Type', value] as const),
        ...(changes.headers ?? []),
      ],
      body: typeof body === 'string' ? Buffer.from(body) : body,
      signing,
      finish: changes.finish,
      bodySent: changes.bodySent,
      claimedLength: changes.claimedLength,
    }
  }

  /** Over the connection that is open, or a new one. */
  async send(attempt: Attempt, what = attempt.target): Promise<Answer> {
    return this.sendBytes(bytesOf(attempt).bytes, attempt.method, what)
  }

  async sendBytes(bytes: Buffer | string, method: string, what: string): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#exchange(bytes, method === 'HEAD')
      this.observations.push({ what, method, answer })
      if (answer.status !== THROTTLED || attempt === THROTTLED_ATTEMPTS) return answer
      await new Promise((resolve) => setTimeout(resolve, attempt * THROTTLED_PAUSE_MS))
    }
  }

  /** Over a connection of its own, for bytes behind which a server may close. */
  async sendAlone(bytes: Buffer | string): Promise<Answer> {
    const connection = await this.connect()
    return connection.exchange(bytes).finally(() => connection.close())
  }

  /** Encrypts, and takes the answer apart. Throws Nonconformity for a refusal. */
  async encrypt(
    plaintext: Buffer,
    aad?: Buffer,
    { cdiv = false, keyId }: { cdiv?: boolean; keyId?: string } = {},
  ): Promise<Sealed> {
    const answer = await this.call('encrypt', {
      ...(keyId === undefined ? {} : { keyId }),
      members: {
        plaintext: base64(plaintext),
        additionalAuthenticatedData: aad && base64(aad),
        ciphertextDataIntegrityValueAlgorithm: cdiv ? 'SHA_256' : undefined,
      },
    })
    const members = assertGranted(answer)
    const optional = (name: string) =>
      members[name] === undefined ? undefined : bytesMember(members, name)
    return {
      plaintext,
      aad,
      ciphertext: bytesMember(members, 'ciphertext'),
      initializationVector: bytesMember(members, 'initializationVector'),
      authenticationTag: bytesMember(members, 'authenticationTag'),
      ciphertextMetadata: optional('ciphertextMetadata'),
      integrityValue: optional('ciphertextDataIntegrityValue'),
    }
  }

  /** Asks to decrypt what was sealed, with changes to it. */
  decrypt(sealed: Sealed, changes: Changes = {}): Promise<Answer> {
    return this.call('decrypt', {
      ...changes,
      members: { ...membersOfSealed(sealed), ...changes.members },
    })
  }

  /** One ciphertext for all rows that need any. */
  sealed(): Promise<Sealed> {
    this.#sealed ??= this.encrypt(randomBytes(64), randomBytes(32))
    return this.#sealed
  }

  /** A key id that no key has. */
  absentKeyId(): string {
    return `absent-${randomUUID()}`
  }

  close(): void {
    this.#connection?.close()
  }

  async #exchange(bytes: Buffer | string, bodyless: boolean): Promise<Answer> {
    const kept = this.#connection
    if (kept?.reusable) {
      try {
        return await kept.exchange(bytes, { bodyless })
      } catch (error) {
        // A server may close an idle connection at any moment: once more on a new one, as clients do.
        if (!(error instanceof NoAnswer)) throw error
      }
    }
    this.#connection = await this.connect()
    return this.#connection.exchange(bytes, { bodyless })
  }

  #path(operation: Operation, { prefix, target, keyId }: Changes): string {
    if (target !== undefined) return target
    const base = `${prefix ?? this.target.uriPathPrefix}/kms/xks/v1`
    if (operation === 'health') return `${base}/health`
    return `${base}/keys/${keyId ?? this.target.keyId}/${operation}`
  }

  async #members(operation: Operation, changes: Changes): Promise<Record<string, unknown>> {
    return {
      requestMetadata: { ...this.#requestMetadata(operation), ...changes.requestMetadata },
      ...(await this.#parameters(operation, changes)),
      ...changes.members,
    }
  }

  #requestMetadata(operation: Operation): Record<string, unknown> {
    const { kmsKeyArn, awsPrincipalArn } = this.target
    const common = { kmsOperation: KMS_OPERATION[operation], kmsRequestId: randomUUID() }
    if (operation === 'health') return common
    return operation === 'metadata'
      ? { awsPrincipalArn, ...common }
      : { awsPrincipalArn, kmsKeyArn, ...common }
  }

  async #parameters(
    operation: Operation,
    { members = {} }: Changes,
  ): Promise<Record<string, unknown>> {
    if (operation === 'encrypt')
      return { plaintext: base64(Buffer.from('Hello World!')), encryptionAlgorithm: 'AES_GCM' }
    if (operation !== 'decrypt') return {}
    const own = 'ciphertext' in members ? {} : membersOfSealed(await this.sealed())
    return { encryptionAlgorithm: 'AES_GCM', ...own }
  }
}

const KMS_OPERATION: Record<Operation, string> = {
  metadata: 'CreateKey',
  encrypt: 'Encrypt',
  decrypt: 'Decrypt',
  health: 'KmsHealthCheck',
}

/** As members of a Decrypt. */
export function membersOfSealed(sealed: Partial<Sealed>): Record<string, string | undefined> {
  return {
    ciphertext: sealed.ciphertext && base64(sealed.ciphertext),
    initializationVector: sealed.initializationVector && base64(sealed.initializationVector),
    authenticationTag: sealed.authenticationTag && base64(sealed.authenticationTag),
    ciphertextMetadata: sealed.ciphertextMetadata && base64(sealed.ciphertextMetadata),
    additionalAuthenticatedData: sealed.aad && base64(sealed.aad),
  }
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
