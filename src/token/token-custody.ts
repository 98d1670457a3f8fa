import { randomBytes } from 'node:crypto'
import { AEAD_SCHEMES, type AeadSchemeName } from '../crypto/aead-scheme.ts'
import { CustodyError } from '../crypto/custody-error.ts'
import type {
  KeyCustody,
  Material,
  MaterialOrigin,
  MaterialPlan,
  Sealed,
  WriteTurn,
} from '../crypto/key-custody.ts'
import {
  type DestroyReply,
  decryptCall,
  encryptCall,
  encryptRandomCall,
  type GenerateReply,
  type ListReply,
  materialToJson,
  type OwnerRecord,
  type OwnerReply,
  randomCall,
  type ShowReply,
  sealedReply,
  type TokenAnchors,
} from './lane-protocol.ts'
import type { TokenPool } from './token-pool.ts'

const OBJECT_ID_BYTES = 16
const MATERIAL_ID_BYTES = 32

/** A KeyCustody whose keys are objects in one PKCS#11 token, reached through a pool of lanes. */
export class TokenCustody implements KeyCustody {
  readonly #pool: TokenPool
  /** Object-changing calls are serial, whoever asks (FM-R8). */
  #writes: Promise<unknown> = Promise.resolve()

  constructor(pool: TokenPool) {
    this.#pool = pool
  }

  ivBytes(scheme: AeadSchemeName): number {
    return scheme === 'AES_GCM' ? this.#pool.options.profile.ivBytes : 16
  }

  async encrypt(material: Material, plaintext: Buffer, aad: Buffer): Promise<Sealed> {
    const reply = await this.#pool.use('encrypt', encryptCall.write(material, plaintext, aad))
    return sealedReply.read(reply)
  }

  decrypt(material: Material, sealed: Sealed, aad: Buffer): Promise<Buffer> {
    return this.#pool.use('decrypt', decryptCall.write(material, sealed, aad))
  }

  async encryptRandom(material: Material, bytes: number, aad: Buffer) {
    const reply = await this.#pool.use(
      'encryptRandom',
      encryptRandomCall.write(material, bytes, aad),
    )
    return sealedReply.readWithPlaintext(reply)
  }

  random(bytes: number): Promise<Buffer> {
    return this.#pool.use('random', randomCall.write(bytes))
  }

  plan(): MaterialPlan {
    const { profile, tokenSerial } = this.#pool.options
    const scheme = profile.aeadScheme
    return {
      materialId: randomBytes(MATERIAL_ID_BYTES).toString('hex'),
      scheme,
      objects: AEAD_SCHEMES[scheme].objects.map(({ role, keyType }) => ({
        role,
        tokenSerial,
        keyType,
        id: randomBytes(OBJECT_ID_BYTES).toString('hex'),
      })),
    }
  }

  make(plan: MaterialPlan, origin: MaterialOrigin, turn?: WriteTurn): Promise<Material> {
    return this.#serially(async () => {
      // A process of SoftHSM2 2.6.1 that writes overlooks for good what others wrote since its last search. Measured 2026-11-22.
      if (turn?.othersWrote) await this.findOwner()
      turn?.assertHeld()
      const { proof } = await this.#pool.cold<GenerateReply>('generate', {
        plan,
        label: this.#label(origin.keyId),
      })
      const material = { ...plan, proof: Buffer.from(proof, 'base64') }
      await this.#proveElsewhere(material)
      turn?.assertHeld()
      await this.#pool.cold('record', {
        kind: 'material',
        material: materialToJson(material),
        origin,
      })
      return material
    })
  }

  destroy(plan: MaterialPlan, lineage: number, turn?: WriteTurn): Promise<void> {
    return this.#serially(async () => {
      const { owner } = await this.#pool.cold<OwnerReply>('owner', {})
      if (!owner) throw new CustodyError('KEY_UNAVAILABLE', 'the token shows no owner record')
      turn?.assertHeld()
      // First the counter: a database from before this destruction must later be recognised as old (ARCH-D11).
      if (owner.lineage < lineage)
        await this.#pool.cold('owner', { claim: { instanceId: owner.instanceId, lineage } })
      turn?.assertHeld()
      await this.#pool.cold<DestroyReply>('destroy', { plan })
      await this.#pool.forget(plan.objects.map(({ id }) => id))
    })
  }

  // ── what only a token custody can do ───────────────────────────────────────────────────────────────────────────────

  /** Encrypts and decrypts with the canary, in one hot lane, now. */
  async health(): Promise<void> {
    await this.#pool.use('health', [])
  }

  /** Everything in the token: our objects, other people's, our records with their MAC checked. */
  list(): Promise<ListReply> {
    return this.#pool.cold<ListReply>('list', {})
  }

  /** Attributes of one material's objects as the token shows them now, and whether its birth proof opens. */
  show(material: Material): Promise<ShowReply> {
    return this.#pool.cold<ShowReply>('show', { material: materialToJson(material) })
  }

  async findOwner(): Promise<OwnerRecord | undefined> {
    return (await this.#pool.cold<OwnerReply>('owner', {})).owner
  }

  claimOwnership(claim: OwnerRecord): Promise<void> {
    return this.#serially(async () => {
      await this.#pool.cold('owner', { claim })
    })
  }

  /** Makes the canary and the record key of a token that has none (`token init`). Ask `list` first. */
  makeAnchors(): Promise<TokenAnchors> {
    return this.#serially(async () => {
      const plan = this.plan()
      const recordKeyId = randomBytes(OBJECT_ID_BYTES).toString('hex')
      const { proof } = await this.#pool.cold<GenerateReply>('generate', {
        plan,
        label: 'hsm-bridge:canary',
        recordKeyId,
      })
      const canary = { ...plan, proof: Buffer.from(proof, 'base64') }
      await this.#pool.cold('record', {
        kind: 'canary',
        material: materialToJson(canary),
        origin: canaryOrigin(),
      })
      return { canary, recordKeyId }
    })
  }

  #proveElsewhere(material: Material): Promise<void> {
    this.#pool.noteChange()
    return this.#pool.withLearnedLane(async (lane) => {
      const deadlineAt = Date.now() + this.#pool.options.profile.deadlinesMs.find
      await lane.callJson('prove', { material: materialToJson(material) }, deadlineAt)
    })
  }

  #label(keyId: string): string {
    return `hsm-bridge:${keyId}`.slice(0, this.#pool.options.profile.maxLabelBytes)
  }

  #serially<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#writes.then(work)
    this.#writes = turn.catch(() => {})
    return turn
  }
}

function canaryOrigin(): MaterialOrigin {
  return {
    keyId: 'canary',
    accountId: '',
    region: '',
    keySpec: 'SYMMETRIC_DEFAULT',
    keyUsage: 'ENCRYPT_DECRYPT',
    origin: 'AWS_KMS',
    lineage: 0,
    createdAt: Date.now(),
  }
}
