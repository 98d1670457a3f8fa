import { randomBytes } from 'node:crypto'
import { type KmsClient, outcomeOf } from './kms-client.ts'

interface Kept {
  readonly keyId: string
  readonly blob: string
  readonly plaintext: Buffer
}

/** Ciphertexts that somebody has stored and wants to open again, whatever happens to us meanwhile. */
export class KeptCiphertexts {
  readonly #kept: Kept[] = []

  async add(kms: KmsClient, keyId: string): Promise<void> {
    const plaintext = randomBytes(32)
    this.#kept.push({ keyId, blob: await kms.encrypt(keyId, plaintext), plaintext })
  }

  get length(): number {
    return this.#kept.length
  }

  /** What decrypting each of them ends with: `ok` is said only of the bytes that went in. */
  async outcomes(kms: KmsClient): Promise<string[]> {
    const outcomes: string[] = []
    for (const { blob, plaintext } of this.#kept)
      outcomes.push(
        await outcomeOf(
          kms.decrypt(blob).then((it) => {
            if (!it.equals(plaintext)) throw new Error('other bytes than went in')
          }),
        ),
      )
    return outcomes
  }

  /** Throws unless every one opens. */
  async assertAllOpen(kms: KmsClient): Promise<void> {
    const bad = (await this.outcomes(kms)).filter((outcome) => outcome !== 'ok')
    if (bad.length > 0)
      throw new Error(`${bad.length} of ${this.length} do not open: ${bad.join(', ')}`)
  }
}
