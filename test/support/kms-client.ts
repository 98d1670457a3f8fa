import { callKms, type KmsEndpoint } from './kms-request.ts'

/** The few operations that suites of faults and kills use, over plain fetch. It never retries: a test sees every answer. */
export class KmsClient {
  readonly endpoint: KmsEndpoint

  constructor(endpoint: KmsEndpoint) {
    this.endpoint = endpoint
  }

  /** The id of a new symmetric key. */
  async createKey(): Promise<string> {
    const { KeyMetadata } = await this.#call<{ KeyMetadata: { KeyId: string } }>('CreateKey', {})
    return KeyMetadata.KeyId
  }

  async describeKey(KeyId: string): Promise<DescribedKey> {
    const { KeyMetadata } = await this.#call<{ KeyMetadata: DescribedKey }>('DescribeKey', {
      KeyId,
    })
    return KeyMetadata
  }

  /** The ciphertext blob in base64. */
  async encrypt(KeyId: string, plaintext: Buffer): Promise<string> {
    const Plaintext = plaintext.toString('base64')
    const answer = await this.#call<{ CiphertextBlob: string }>('Encrypt', { KeyId, Plaintext })
    return answer.CiphertextBlob
  }

  async decrypt(CiphertextBlob: string): Promise<Buffer> {
    const { Plaintext } = await this.#call<{ Plaintext: string }>('Decrypt', { CiphertextBlob })
    return Buffer.from(Plaintext, 'base64')
  }

  async rotate(KeyId: string): Promise<void> {
    await this.#call('RotateKeyOnDemand', { KeyId })
  }

  async scheduleDeletion(KeyId: string): Promise<void> {
    await this.#call('ScheduleKeyDeletion', { KeyId, PendingWindowInDays: 7 })
  }

  #call<Answer>(operation: string, body: Record<string, unknown>): Promise<Answer> {
    return callKms<Answer>(this.endpoint, { operation, body })
  }
}

export interface DescribedKey {
  readonly KeyId: string
  readonly KeyState: string
  readonly CurrentKeyMaterialId: string
}

/** The name of the exception that a call ends with, `ok` when it succeeds. */
export async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'ok'
  } catch (error) {
    return error instanceof Error ? error.name : String(error)
  }
}
