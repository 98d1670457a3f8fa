import type { KeyMaterial } from './key.ts'
import type { KeyDraft, KeyStorage } from './key-storage.ts'
import { KmsError } from './kms-error.ts'
import { AEAD_SCHEMES } from '../crypto/aead-scheme.ts'

/** Encryptions are set aside in blocks of this size: a crash wastes at most what is left of one. */
export const BLOCK_ENCRYPTIONS = 2 ** 16
export const ALARM_ENCRYPTIONS = 2 ** 30
/**
 * A random 96-bit IV may be used 2^32 times under one key (SP 800-38D §8.3). Half of it is the order to rotate; the other half
 * is room for what is not counted: retries on another lane, and birth proofs.
 */
export const ROTATE_ENCRYPTIONS = 2 ** 31
/** 90 % of 2^32, where nothing is encrypted any more. */
export const LAST_ENCRYPTION = 3_865_470_566

interface Allowance {
  left: number
  reservation: Promise<void> | undefined
}

export interface BudgetAlarms {
  /** From 2^30 on, with every block. */
  near(material: KeyMaterial, encryptions: number): void
  /** From 2^31 on, with every block: time to rotate. */
  reached(material: KeyMaterial, encryptions: number): void
}

/** Counts encryptions under one material, durably and never too few (ARCH-D7). */
export class EncryptionBudget {
  readonly #storage: KeyStorage
  readonly #alarms: BudgetAlarms
  readonly #allowances = new Map<string, Allowance>()
  #closed = false

  constructor(storage: KeyStorage, alarms: BudgetAlarms) {
    this.#storage = storage
    this.#alarms = alarms
  }

  /**
   * Takes one encryption. Usually that is a decrement, and the answer is undefined; the first use after a start waits for
   * storage. Throws KMSInvalidStateException when the material is used up.
   */
  spend(material: KeyMaterial): Promise<void> | undefined {
    if (!AEAD_SCHEMES[material.material.scheme].countsEncryptions) return undefined
    if (this.#closed) throw new KmsError('KMSInternalException', 'The service is shutting down.')
    const allowance = this.#allowanceOf(material)
    if (allowance.left > BLOCK_ENCRYPTIONS / 2) {
      allowance.left -= 1
      return undefined
    }
    const reservation = this.#reserve(material, allowance)
    if (allowance.left === 0) return reservation.then(() => this.spend(material))
    // FM-F50: ahead of need. A failure is told to whoever finds the allowance empty, and tried again with the next one.
    reservation.catch(() => undefined)
    allowance.left -= 1
    return undefined
  }

  /** Sets a block aside for each of those that have none. What cannot be had is asked for again by whoever needs it. */
  async reserveAhead(materials: readonly KeyMaterial[]): Promise<void> {
    const counted = materials.filter(
      ({ material }) => AEAD_SCHEMES[material.scheme].countsEncryptions,
    )
    const reservations = counted.flatMap((material) => {
      const allowance = this.#allowanceOf(material)
      return allowance.left > 0 || this.#closed ? [] : [this.#reserve(material, allowance)]
    })
    await Promise.allSettled(reservations)
  }

  /** Gives back what was set aside and not used. Nothing can be spent afterwards. */
  async close(): Promise<void> {
    this.#closed = true
    const reservations = [...this.#allowances.values()].flatMap((one) => one.reservation ?? [])
    await Promise.allSettled(reservations)
    const unused = [...this.#allowances].filter(([, { left }]) => left > 0)
    if (unused.length === 0) return
    await this.#storage.change(
      (draft) => {
        for (const [name, { left }] of unused) {
          const [region = '', materialId = ''] = name.split('/')
          const latest = draft.findMaterial(region, materialId)
          if (latest)
            draft.putMaterial({
              ...latest,
              encryptionsReserved: Math.max(0, latest.encryptionsReserved - left),
            })
        }
      },
      { evenReadOnly: true },
    )
  }

  #allowanceOf({ region, material }: KeyMaterial): Allowance {
    const name = `${region}/${material.materialId}`
    let allowance = this.#allowances.get(name)
    if (!allowance) {
      allowance = { left: 0, reservation: undefined }
      this.#allowances.set(name, allowance)
    }
    return allowance
  }

  #reserve(material: KeyMaterial, allowance: Allowance): Promise<void> {
    allowance.reservation ??= this.#reserveBlock(material, allowance).finally(() => {
      allowance.reservation = undefined
    })
    return allowance.reservation
  }

  async #reserveBlock(material: KeyMaterial, allowance: Allowance): Promise<void> {
    const total = await this.#storage.change((draft) => reserveBlock(draft, material), {
      evenReadOnly: true,
    })
    allowance.left += BLOCK_ENCRYPTIONS
    if (total >= ALARM_ENCRYPTIONS) this.#alarms.near(material, total)
    if (total >= ROTATE_ENCRYPTIONS) this.#alarms.reached(material, total)
  }
}

function reserveBlock(draft: KeyDraft, { region, keyArn, material }: KeyMaterial): number {
  const latest = draft.findMaterial(region, material.materialId)
  if (!latest) throw new KmsError('KMSInvalidStateException', `${keyArn} is pending deletion.`)
  const total = latest.encryptionsReserved + BLOCK_ENCRYPTIONS
  if (total > LAST_ENCRYPTION)
    throw new KmsError(
      'KMSInvalidStateException',
      `${keyArn} has reached the number of encryptions that its key material allows. Rotate the key.`,
    )
  draft.putMaterial({ ...latest, encryptionsReserved: total })
  return total
}
