import { expect } from 'chai'
import { CustodyError } from '../../src/crypto/custody-error.ts'
import { KmsError } from '../../src/kms/kms-error.ts'
import { Rig } from './rig.ts'

const DAY_MS = 24 * 60 * 60 * 1000
const STEPS = Number(process.env['MODEL_STEPS'] ?? 10_000)
const SEED = Number(process.env['MODEL_SEED'] ?? Date.now() % 2 ** 31)
const MOST_KEYS = 12

/** What must be true of a key, in the simplest words. */
interface ModelKey {
  readonly arn: string
  state: 'Enabled' | 'PendingDeletion' | 'Destroyed'
  due: number
  rotations: number
  materials: number
  readonly blobs: { readonly blob: Buffer; readonly text: string }[]
}

describe('life of keys, against a model', () => {
  it(`FM-F27: ${STEPS} random steps, seed ${SEED}`, async function () {
    this.timeout(120_000 + STEPS * 5)
    const walk = new Walk(await new Rig().start(), random(SEED))
    try {
      await walk.rig.kms.heartbeat.beat()
      for (let i = 0; i < STEPS; i++) await walk.step()
      await walk.checkEverything()
    } finally {
      await walk.rig.remove()
    }
  })
})

class Walk {
  readonly rig: Rig
  readonly #random: () => number
  readonly #keys: ModelKey[] = []

  constructor(rig: Rig, random: () => number) {
    this.rig = rig
    this.#random = random
  }

  async step(): Promise<void> {
    const steps: [number, () => Promise<void>][] = [
      [4, () => this.#create()],
      [30, () => this.#encrypt()],
      [30, () => this.#decrypt()],
      [8, () => this.#rotate()],
      [3, () => this.#schedule()],
      [5, () => this.#race()],
      [4, () => this.#passTime()],
      [3, () => this.#destroyDue()],
      [1, () => this.rig.restart()],
      [1, () => this.checkEverything()],
    ]
    let ticket = this.#random() * steps.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, run] of steps) {
      ticket -= weight
      if (ticket < 0) return run()
    }
  }

  async #create(): Promise<void> {
    if (this.#keys.filter((key) => key.state !== 'Destroyed').length >= MOST_KEYS) return
    const failing = this.#maybeFailToken('make')
    const made = await outcome(this.rig.makeKey())
    if (failing) return void expect(made).to.equal(failing)
    const { arn } = made as { arn: string }
    this.#keys.push({ arn, state: 'Enabled', due: 0, rotations: 0, materials: 1, blobs: [] })
  }

  async #encrypt(): Promise<void> {
    const key = this.#anyKey()
    if (!key) return
    const text = `${this.#random()}`
    const result = await outcome(this.rig.encrypt(key.arn, text))
    if (key.state !== 'Enabled') return void expect(result).to.equal(refusal(key))
    key.blobs.push({ blob: result as Buffer, text })
  }

  async #decrypt(): Promise<void> {
    const key = this.#anyKey()
    const known = key?.blobs[Math.floor(this.#random() * key.blobs.length)]
    if (!key || !known) return
    const result = await outcome(this.rig.decrypt(known.blob))
    const gone = key.state === 'Destroyed' ? 'AccessDeniedException' : refusal(key)
    expect(result).to.equal(key.state === 'Enabled' ? known.text : gone)
  }

  async #rotate(): Promise<void> {
    const key = this.#anyKey()
    if (!key) return
    const usable = key.state === 'Enabled' && key.rotations < 25
    const failing = usable ? this.#maybeFailToken('make') : undefined
    const result = await outcome(this.rig.ask('RotateKeyOnDemand', { keyId: key.arn }))
    if (key.state !== 'Enabled') return void expect(result).to.equal(refusal(key))
    if (!usable) return void expect(result).to.equal('LimitExceededException')
    if (failing) return void expect(result).to.equal(failing)
    expect(result).to.deep.equal({ keyId: key.arn })
    key.rotations += 1
    key.materials += 1
  }

  async #schedule(): Promise<void> {
    const key = this.#anyKey()
    if (!key) return
    const days = 7 + Math.floor(this.#random() * 24)
    const result = await outcome(
      this.rig.ask('ScheduleKeyDeletion', { keyId: key.arn, pendingWindowInDays: days }),
    )
    if (key.state !== 'Enabled') return void expect(result).to.equal(refusal(key))
    expect(result).to.include({ keyState: 'PendingDeletion' })
    key.state = 'PendingDeletion'
    key.due = this.rig.clock.now() + days * DAY_MS
  }

  /** Rotation, deletion and uses at the same time: whichever way it ends, it ends wholly. */
  async #race(): Promise<void> {
    const key = this.#anyKey()
    if (!key || key.state !== 'Enabled') return
    const ask = (name: 'RotateKeyOnDemand' | 'ScheduleKeyDeletion') =>
      outcome(this.rig.ask(name, { keyId: key.arn }))
    const races = [
      ask('RotateKeyOnDemand'),
      ...(this.#random() < 0.1 ? [ask('ScheduleKeyDeletion')] : []),
      ask('RotateKeyOnDemand'),
    ]
    const uses = Array.from({ length: 3 }, (_, i) => outcome(this.rig.encrypt(key.arn, `${i}`)))
    const results = await Promise.all(races)
    const rotated = results.filter((result) => isReply(result, 'keyState') === false).length
    key.rotations += rotated
    key.materials += rotated
    if (results.some((result) => isReply(result, 'keyState'))) {
      key.state = 'PendingDeletion'
      key.due = this.rig.clock.now() + 30 * DAY_MS
    }
    for (const [i, result] of (await Promise.all(uses)).entries())
      if (result instanceof Buffer) key.blobs.push({ blob: result, text: `${i}` })
      else expect(result).to.equal(refusal(key))
  }

  async #passTime(): Promise<void> {
    const days = this.#random() * 5
    for (let hour = 0; hour < days * 24; hour++) {
      this.rig.clock.pass(60 * 60 * 1000)
      await this.rig.kms.heartbeat.beat()
    }
  }

  async #destroyDue(): Promise<void> {
    const due = this.#keys.filter(
      (key) => key.state === 'PendingDeletion' && key.due <= this.rig.kms.heartbeat.agreedNow(),
    )
    const failing = due.length > 0 ? this.#maybeFailToken('destroy') : undefined
    const { destroyed, failed } = await this.rig.kms.deletion.destroyDueKeys()
    expect([...destroyed, ...failed]).to.have.members(due.map((key) => key.arn))
    expect(failed.length).to.equal(failing ? 1 : 0)
    for (const key of due) if (destroyed.includes(key.arn)) key.state = 'Destroyed'
  }

  async checkEverything(): Promise<void> {
    const { snapshot } = this.rig.storage
    const alive = this.#keys.filter((key) => key.state !== 'Destroyed')
    expect([...snapshot.allKeys()].map((key) => key.arn)).to.have.members(
      alive.map((key) => key.arn),
    )
    for (const key of alive) {
      const materials = snapshot.materialsOf(key.arn)
      expect(materials).to.have.lengthOf(key.materials)
      expect(materials.at(-1)?.material.materialId).to.equal(
        snapshot.findKey(key.arn)?.currentMaterialId,
      )
      for (const { material } of materials)
        if (snapshot.findKey(key.arn)?.state !== 'Destroying')
          expect(this.rig.custody.has(material.materialId)).to.equal(true)
    }
    const named = new Set([
      ...[...snapshot.allMaterials()].map(({ material }) => material.materialId),
      ...snapshot
        .intents()
        .flatMap((intent) =>
          (intent.kind === 'make' ? [intent.plan] : intent.plans).map((plan) => plan.materialId),
        ),
    ])
    expect(this.rig.custody.size, 'nothing in the token is without a name').to.equal(
      [...named].filter((materialId) => this.rig.custody.has(materialId)).length,
    )
  }

  #anyKey(): ModelKey | undefined {
    return this.#keys[Math.floor(this.#random() * this.#keys.length)]
  }

  /** One call in ten fails in the token, in one of the ways that tokens fail. */
  #maybeFailToken(call: 'make' | 'destroy'): string | undefined {
    if (this.#random() > 0.1) return undefined
    const lost = new CustodyError('DEADLINE', 'no answer')
    if (call === 'make' && this.#random() < 0.5) this.rig.custody.loseNextMade(lost)
    else
      this.rig.custody.beforeNext(call, () => {
        throw lost
      })
    return 'DependencyTimeoutException'
  }
}

/** The reply, or the name of the exception. */
async function outcome(asked: Promise<unknown>): Promise<unknown> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof KmsError) return error.code
    throw error
  }
}

function refusal(key: ModelKey): string {
  return key.state === 'Destroyed' ? 'NotFoundException' : 'KMSInvalidStateException'
}

/** Whether the outcome is a reply with that member; undefined for an exception. */
function isReply(result: unknown, member: string): boolean | undefined {
  return typeof result === 'object' && result !== null ? member in result : undefined
}

/** mulberry32: small, seeded, good enough to choose steps. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
