import { CKR_CLASSES } from '../pkcs11/ckr.ts'
import { Pkcs11Error } from '../pkcs11/pkcs11-error.ts'
import { type Aead, MacMismatch } from './aead.ts'
import { makeBirthProof, opensBirthProof } from './birth-proof.ts'
import type { LaneError } from './lane-error.ts'
import { fault } from './lane-fault.ts'
import type { MaterialUse } from './lane-protocol.ts'
import type { Steps } from './lane-steps.ts'
import type { Lease } from './lane-token.ts'
import { inUse, type ObjectIndex } from './object-index.ts'

/**
 * ARCH-D10 allows a second. While it is believed, a refusal that was the token's own is blamed on the ciphertext; a tenth is
 * enough against floods: from 300 bad ciphertexts a second on, evidence is less than a tenth of the calls.
 */
const FRESH_MS = 100
const MOST_KEYS = 10_000

export interface EvidenceOptions {
  readonly aead: Aead
  readonly index: ObjectIndex
  /** The canary, or undefined while the token has none. */
  readonly canary: () => MaterialUse | undefined
  /** Milliseconds that only grow. */
  readonly now?: () => number
}

/** Whether an error says something about the input or about the token: only these two errors leave it open. */
export function isAmbiguous(error: unknown): boolean {
  return (
    error instanceof MacMismatch || (error instanceof Pkcs11Error && error.ckrClass === 'AMBIGUOUS')
  )
}

/**
 * Blame only on evidence (ARCH-D10): what must work in this lane before a ciphertext or a key is called bad. What worked is
 * believed for a moment, so that a flood of bad ciphertexts is not a flood of canaries (FM-R11).
 */
export class Evidence {
  readonly #options: EvidenceOptions
  readonly #now: () => number
  #canaryWorkedAt = -Infinity
  readonly #proofWorkedAt = new Map<string, number>()

  constructor(options: EvidenceOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  /**
   * Throws unless the canary and, where named, the material's own proof work, or worked a moment ago. Says whether
   * it looked at either now.
   */
  *assertBothWork(lease: Lease, material: MaterialUse | undefined): Steps<boolean> {
    const askCanary = !this.#isFresh(this.#canaryWorkedAt)
    if (askCanary) yield* this.assertCanary(lease)
    if (!material || this.#isFresh(this.#proofWorkedAt.get(material.materialId))) return askCanary
    yield* this.assertProof(lease, material)
    return true
  }

  /** Opens the canary's proof now. Throws DEVICE_GONE. A token without canary proves nothing and passes. */
  *assertCanary(lease: Lease): Steps<void> {
    const canary = this.#options.canary()
    if (!canary) return
    this.#canaryWorkedAt = -Infinity
    const trouble = yield* this.#troubleWith(lease, canary)
    if (trouble) throw canaryFault(trouble)
    this.#canaryWorkedAt = this.#now()
  }

  /**
   * Encrypts with the canary and has it back (XKS H-01): a token that only decrypts is not well. Throws what the token said, or
   * DEVICE_GONE when other bytes came back. Ask `assertCanary` first, so that its key is known to be there.
   */
  *assertEncrypts(lease: Lease): Steps<void> {
    const canary = this.#options.canary()
    if (!canary) return
    const { aead, index } = this.#options
    const keys = canary.objectIds.map((id) => inUse(index.only(id)))
    const proof = yield* makeBirthProof(aead, lease.session, keys, canary)
    if (yield* opensBirthProof(aead, lease.session, keys, { ...canary, proof })) return
    throw canaryFault(new Error('what it encrypted opened to other bytes'))
  }

  /** Opens the material's proof now. With a canary that works, a failure means that the key is not what it was. */
  *assertProof(lease: Lease, material: MaterialUse): Steps<void> {
    this.#proofWorkedAt.delete(material.materialId)
    const trouble = yield* this.#troubleWith(lease, material)
    if (trouble) {
      yield* this.assertCanary(lease) // after the failure, however lately it has worked before
      throw this.#keyFault(trouble, material)
    }
    if (this.#proofWorkedAt.size >= MOST_KEYS) this.#proofWorkedAt.clear()
    this.#proofWorkedAt.set(material.materialId, this.#now())
  }

  /** After any error that is not about input: nothing that worked before it counts. */
  forget(): void {
    this.#canaryWorkedAt = -Infinity
    this.#proofWorkedAt.clear()
  }

  *#troubleWith(lease: Lease, material: MaterialUse): Steps<Error | undefined> {
    try {
      if (lease.session.tainted) lease.renew()
      const { aead, index } = this.#options
      const keys = material.objectIds.map((id) => inUse(index.only(id)))
      const opens = yield* opensBirthProof(aead, lease.session, keys, material)
      return opens ? undefined : new Error('it opened to other bytes')
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
  }

  #keyFault(trouble: Error, material: MaterialUse): LaneError {
    const message = `the birth proof of material ${material.materialId} failed: ${trouble.message}`
    if (isAboutTheLane(trouble)) return fault('KEY_UNAVAILABLE', 'recover', message, trouble)
    for (const id of material.objectIds) this.#options.index.drop(id)
    return fault('KEY_UNAVAILABLE', 'learn', message, trouble)
  }

  #isFresh(workedAt: number | undefined): boolean {
    return workedAt !== undefined && this.#now() - workedAt < FRESH_MS
  }
}

function canaryFault(trouble: Error): LaneError {
  const advice = isAboutTheLane(trouble) ? 'recover' : 'replace'
  return fault('DEVICE_GONE', advice, `the canary failed: ${trouble.message}`, trouble)
}

/** Lost sessions, logins and handles are cured by `recover`. */
function isAboutTheLane(error: Error): boolean {
  return error instanceof Pkcs11Error && CKR_CLASSES[error.ckrClass].advice === 'recover'
}
