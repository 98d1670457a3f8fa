import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createSecretKey,
  generateKeySync,
  type KeyObject,
  randomBytes,
} from 'node:crypto'
import { AEAD_SCHEMES, type AeadSchemeName } from '../../src/crypto/aead-scheme.ts'
import { CustodyError } from '../../src/crypto/custody-error.ts'
import type {
  KeyCustody,
  Material,
  MaterialOrigin,
  MaterialPlan,
  Sealed,
  VerifiedSealed,
  WriteTurn,
} from '../../src/crypto/key-custody.ts'

const TAG_BYTES = 16
const IV_BYTES: readonly number[] = [12, 16] // as in token/aead.ts
const PROOF_AAD = Buffer.from('fake birth proof')

type Call =
  | 'encrypt'
  | 'encryptVerified'
  | 'decrypt'
  | 'encryptRandom'
  | 'random'
  | 'make'
  | 'destroy'

/**
 * A custody in memory with real AES-256-GCM, for tests of the rules. It keeps a list of its calls, and a test may say what
 * happens before or instead of a call.
 */
export class FakeCustody implements KeyCustody {
  readonly calls: Call[] = []
  readonly #scheme: AeadSchemeName
  readonly #keys = new Map<string, KeyObject>()
  readonly #origins = new Map<string, MaterialOrigin>()
  readonly #interruptions = new Map<Call, (() => void | Promise<void>)[]>()

  constructor(scheme: AeadSchemeName = 'AES_GCM') {
    this.#scheme = scheme
  }

  /** Runs `interruption` before the next call of that name; when it throws, the call does nothing. */
  beforeNext(call: Call, interruption: () => void | Promise<void>): void {
    this.#interruptions.set(call, [...(this.#interruptions.get(call) ?? []), interruption])
  }

  /** The next `make` makes the key and then fails, as a token does whose answer is lost. */
  loseNextMade(error: CustodyError): void {
    this.#loss = error
  }
  #loss: CustodyError | undefined

  has(materialId: string): boolean {
    return this.#keys.has(materialId)
  }

  get size(): number {
    return this.#keys.size
  }

  originOf(materialId: string): MaterialOrigin | undefined {
    return this.#origins.get(materialId)
  }

  /** A key of known value, as if it had been made elsewhere. */
  put(value: Buffer, materialId = randomBytes(32).toString('hex')): Material {
    this.#keys.set(materialId, createSecretKey(value))
    return { ...this.plan(), materialId, proof: Buffer.alloc(0) }
  }

  /** Both names stand for the same key from now on, as after importing one key twice. */
  share(fromMaterialId: string, toMaterialId: string): void {
    this.#keys.set(toMaterialId, this.#keyOf(fromMaterialId))
  }

  countOf(call: Call): number {
    return this.calls.filter((one) => one === call).length
  }

  ivBytes(scheme: AeadSchemeName): number {
    return scheme === 'AES_GCM' ? 12 : 16
  }

  async encrypt(material: Material, plaintext: Buffer, aad: Buffer): Promise<Sealed> {
    await this.#begin('encrypt')
    return this.#seal(material, plaintext, aad)
  }

  async decrypt(material: Material, { iv, ciphertext }: Sealed, aad: Buffer): Promise<Buffer> {
    await this.#begin('decrypt')
    const key = this.#keyOf(material.materialId)
    if (!IV_BYTES.includes(iv.length) || ciphertext.length < TAG_BYTES)
      throw new CustodyError('CIPHERTEXT_REJECTED', 'too short, or another IV')
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES })
      decipher.setAAD(aad)
      decipher.setAuthTag(ciphertext.subarray(-TAG_BYTES))
      return Buffer.concat([decipher.update(ciphertext.subarray(0, -TAG_BYTES)), decipher.final()])
    } catch (cause) {
      throw new CustodyError('CIPHERTEXT_REJECTED', 'the tag does not fit', { cause })
    }
  }

  async encryptRandom(material: Material, bytes: number, aad: Buffer) {
    await this.#begin('encryptRandom')
    const plaintext = randomBytes(bytes)
    return { ...this.#seal(material, plaintext, aad), plaintext }
  }

  /** What it makes is never wrong, so nothing is taken back. */
  async encryptVerified(
    material: Material,
    plaintext: Buffer,
    aad: Buffer,
    digestPrefix: Buffer,
  ): Promise<VerifiedSealed> {
    await this.#begin('encryptVerified')
    const { iv, ciphertext } = this.#seal(material, plaintext, aad)
    const digest = createHash('sha256').update(digestPrefix).update(iv).update(ciphertext).digest()
    return { iv, ciphertext, digest }
  }

  async random(bytes: number): Promise<Buffer> {
    await this.#begin('random')
    return randomBytes(bytes)
  }

  plan(): MaterialPlan {
    return {
      materialId: randomBytes(32).toString('hex'),
      scheme: this.#scheme,
      objects: AEAD_SCHEMES[this.#scheme].objects.map(({ role, keyType }) => ({
        role,
        tokenSerial: 'fake',
        keyType,
        id: randomBytes(16).toString('hex'),
      })),
    }
  }

  async make(plan: MaterialPlan, origin: MaterialOrigin, turn?: WriteTurn): Promise<Material> {
    await this.#begin('make')
    turn?.assertHeld()
    this.#keys.set(plan.materialId, generateKeySync('aes', { length: 256 }))
    this.#origins.set(plan.materialId, origin)
    const loss = this.#loss
    this.#loss = undefined
    if (loss) throw loss
    const { iv, ciphertext } = this.#seal(plan, Buffer.from('born'), PROOF_AAD)
    return { ...plan, proof: Buffer.concat([iv, ciphertext]) }
  }

  async destroy(plan: MaterialPlan, _lineage = 0, turn?: WriteTurn): Promise<void> {
    await this.#begin('destroy')
    turn?.assertHeld()
    this.#keys.delete(plan.materialId)
    this.#origins.delete(plan.materialId)
  }

  async #begin(call: Call): Promise<void> {
    this.calls.push(call)
    const interruption = this.#interruptions.get(call)?.shift()
    await interruption?.()
  }

  #seal({ materialId, scheme }: MaterialPlan, plaintext: Buffer, aad: Buffer): Sealed {
    const iv = randomBytes(this.ivBytes(scheme))
    const cipher = createCipheriv('aes-256-gcm', this.#keyOf(materialId), iv, {
      authTagLength: TAG_BYTES,
    })
    cipher.setAAD(aad)
    const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()])
    return { iv, ciphertext: Buffer.concat([ciphertext, cipher.getAuthTag()]) }
  }

  #keyOf(materialId: string): KeyObject {
    const key = this.#keys.get(materialId)
    if (!key) throw new CustodyError('KEY_UNAVAILABLE', 'the fake has no such key')
    return key
  }
}
