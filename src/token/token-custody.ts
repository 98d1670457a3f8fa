import { randomBytes } from 'node:crypto'
import { AEAD_SCHEMES, type AeadSchemeName } from '../crypto/aead-scheme.ts'
import { CustodyError } from '../crypto/custody-error.ts'
import type {
  KeyCustody,
  Material,
  MaterialOrigin,
  MaterialPlan,
  Sealed,
  VerifiedSealed,
  WriteTurn,
} from '../crypto/key-custody.ts'
import {
  type AdoptedName,
  type AdoptReply,
  type AdoptRequest,
  type DestroyReply,
  decryptCall,
  encryptCall,
  encryptRandomCall,
  encryptVerifiedCall,
  type GenerateReply,
  type KeyHistory,
  type ListReply,
  materialFromJson,
  materialToJson,
  OUR_LABEL,
  type OwnerRecord,
  type OwnerReply,
  randomCall,
  type ShowReply,
  sealedReply,
  type TokenAnchors,
  verifiedReply,
} from './lane-protocol.ts'
import type { TokenPool } from './token-pool.ts'

const OBJECT_ID_BYTES = 16
const MATERIAL_ID_BYTES = 32

export interface AdoptOptions {
  /** The facts of the key for its record in the token. */
  readonly origin: MaterialOrigin
  /** Also a key of which the token says, or does not deny, that it was outside once. Never one that may leave now. */
  readonly acceptImported?: boolean
  readonly turn?: WriteTurn
  /** Hears of the plan right before the record is written: the place for an intent (ARCH-D11). What it throws ends the work. */
  readonly planned?: (plan: MaterialPlan) => void | Promise<void>
}

export interface AdoptedKey {
  readonly material: Material
  /** CKA_LABEL of the key. */
  readonly label: string
  readonly history: KeyHistory
}

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
    this.#pool.noteUse(material)
    const reply = await this.#pool.use('encrypt', encryptCall.write(material, plaintext, aad))
    return sealedReply.read(reply)
  }

  decrypt(material: Material, sealed: Sealed, aad: Buffer): Promise<Buffer> {
    this.#pool.noteUse(material)
    return this.#pool.use('decrypt', decryptCall.write(material, sealed, aad))
  }

  async encryptRandom(material: Material, bytes: number, aad: Buffer) {
    this.#pool.noteUse(material)
    const reply = await this.#pool.use(
      'encryptRandom',
      encryptRandomCall.write(material, bytes, aad),
    )
    return sealedReply.readWithPlaintext(reply)
  }

  async encryptVerified(
    material: Material,
    plaintext: Buffer,
    aad: Buffer,
    digestPrefix: Buffer,
  ): Promise<VerifiedSealed> {
    this.#pool.noteUse(material)
    const parts = encryptVerifiedCall.write(material, plaintext, aad, digestPrefix)
    return verifiedReply.read(await this.#pool.use('encryptVerified', parts))
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

  /**
   * Takes somebody's AES-256 key of this token into use under a new KeyMaterialId: finds exactly one, looks at what it says about
   * itself now, makes its birth proof, proves that in another lane, and writes our record beside it. The key itself is never made,
   * changed or destroyed by us. Throws UNSUPPORTED for a token without AES-GCM inside (ARCH-D7), KEY_UNAVAILABLE for no such key,
   * KEY_AMBIGUOUS for two, KEY_USAGE with the reason for one that will not do.
   */
  async adopt(name: AdoptedName, options: AdoptOptions): Promise<AdoptedKey> {
    if (this.#pool.options.profile.aeadScheme !== 'AES_GCM')
      throw new CustodyError('UNSUPPORTED', 'no key is adopted: this token has no AES-GCM inside')
    const request: AdoptRequest = {
      name: checkedName(name),
      materialId: randomBytes(MATERIAL_ID_BYTES).toString('hex'),
      acceptImported: options.acceptImported ?? false,
    }
    const { origin, turn, planned } = options
    return this.#serially(async () => {
      const found = await this.#pool.cold<AdoptReply>('adopt', request)
      const { proof, ...plan } = found.material
      const material = materialFromJson({ ...plan, proof })
      await this.#proveElsewhere(material)
      await planned?.(plan)
      turn?.assertHeld()
      await this.#pool.cold('record', { kind: 'material', material: found.material, origin })
      return { material, label: found.label, history: found.history }
    })
  }

  /** Encrypts and decrypts with the canary, in one hot lane, now: each in its turn. */
  async health(): Promise<void> {
    await this.#pool.health()
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
        label: `${OUR_LABEL}canary`,
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
    return `${OUR_LABEL}${keyId}`.slice(0, this.#pool.options.profile.maxLabelBytes)
  }

  #serially<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#writes.then(work)
    this.#writes = turn.catch(() => {})
    return turn
  }
}

/** One name at least; an empty template would find whatever comes first. */
function checkedName({ id, label }: AdoptedName): AdoptedName {
  if (id === undefined && label === undefined)
    throw new CustodyError('INPUT', 'a key is adopted by its CKA_ID or its CKA_LABEL')
  if (id !== undefined && !/^(?:[0-9a-f]{2})+$/iu.test(id))
    throw new CustodyError('INPUT', `${id} is no CKA_ID in hex`)
  if (label === '') throw new CustodyError('INPUT', 'an empty CKA_LABEL names no key')
  return {
    ...(id !== undefined && { id: id.toLowerCase() }),
    ...(label !== undefined && { label }),
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
