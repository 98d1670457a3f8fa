import { expect } from 'chai'
import { CustodyError } from '../../src/crypto/custody-error.ts'
import { KmsError } from '../../src/kms/kms-error.ts'
import { ACCOUNT, REGION, Rig } from './rig.ts'
import { seededRandom } from './seeded-random.ts'

const DAY_MS = 24 * 60 * 60 * 1000
const STEPS = Number(process.env['MODEL_STEPS'] ?? 10_000)
const SEED = Number(process.env['MODEL_SEED'] ?? Date.now() % 2 ** 31)
const MOST_KEYS = 12
const ALIASES = ['alias/a', 'alias/b', 'alias/c', 'alias/d', 'alias/e']
const TAG_KEYS = ['team', 'Team', 'stage', 'owner']

/** What must be true of a key, in the simplest words. */
interface ModelKey {
  readonly arn: string
  state: 'Enabled' | 'Disabled' | 'PendingDeletion' | 'Destroyed'
  due: number
  /** Its destruction was begun and not carried through: nothing saves it any more. */
  doomed: boolean
  readonly tags: Map<string, string>
  rotations: number
  materials: number
  readonly blobs: { readonly blob: Buffer; readonly text: string }[]
}

describe('life of keys, against a model', () => {
  it(`FM-F27: ${STEPS} random steps, seed ${SEED}`, async function () {
    this.timeout(120_000 + STEPS * 5)
    const walk = new Walk(await new Rig().start(), seededRandom(SEED))
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
  readonly #aliases = new Map<string, ModelKey>()

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
      [3, () => this.#cancel()],
      [4, () => this.#enable()],
      [2, () => this.#disable()],
      [3, () => this.#createAlias()],
      [4, () => this.#updateAlias()],
      [1, () => this.#deleteAlias()],
      [3, () => this.#tag()],
      [2, () => this.#untag()],
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
    this.#keys.push({
      arn,
      state: 'Enabled',
      due: 0,
      doomed: false,
      tags: new Map(),
      rotations: 0,
      materials: 1,
      blobs: [],
    })
  }

  async #encrypt(): Promise<void> {
    const alias = this.#random() < 0.3 ? this.#anyOf(ALIASES) : undefined
    const key = alias === undefined ? this.#anyKey() : this.#aliases.get(alias)
    const text = `${this.#random()}`
    const result = await outcome(this.rig.encrypt(alias ?? key?.arn ?? ALIASES[0] ?? '', text))
    if (!key) return void expect(result).to.equal('NotFoundException')
    if (key.state !== 'Enabled') return void expect(result).to.equal(refusal(key))
    key.blobs.push({ blob: result as Buffer, text })
  }

  async #decrypt(): Promise<void> {
    const key = this.#anyKey()
    const known = key?.blobs[Math.floor(this.#random() * key.blobs.length)]
    if (!key || !known) return
    const alias = this.#random() < 0.3 ? this.#anyOf(ALIASES) : undefined
    const result = await outcome(this.rig.decrypt(known.blob, { keyId: alias }))
    const named = alias === undefined ? key : this.#aliases.get(alias)
    expect(result).to.equal(opened(key, named) ?? known.text)
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
    if (isGoing(key)) return void expect(result).to.equal(refusal(key))
    expect(result).to.include({ keyState: 'PendingDeletion' })
    key.state = 'PendingDeletion'
    key.due = this.rig.clock.now() + days * DAY_MS
  }

  async #cancel(): Promise<void> {
    const key = this.#anyKey()
    if (!key) return
    const result = await outcome(this.rig.ask('CancelKeyDeletion', { keyId: key.arn }))
    if (key.state === 'Destroyed') return void expect(result).to.equal('NotFoundException')
    if (key.state !== 'PendingDeletion' || key.doomed)
      return void expect(result).to.equal('KMSInvalidStateException')
    expect(result).to.deep.equal({ keyId: key.arn })
    key.state = 'Disabled'
  }

  async #enable(): Promise<void> {
    const disabled = this.#keys.filter((key) => key.state === 'Disabled')
    const key = this.#random() < 0.7 ? this.#anyOf(disabled) : this.#anyKey()
    const enabled = await this.#changed(key, 'EnableKey')
    if (enabled) enabled.state = 'Enabled'
  }

  async #disable(): Promise<void> {
    const disabled = await this.#changed(this.#anyKey(), 'DisableKey')
    if (disabled) disabled.state = 'Disabled'
  }

  async #createAlias(): Promise<void> {
    const [key, aliasName] = [this.#anyKey(), this.#anyOf(ALIASES)]
    if (!key || aliasName === undefined) return
    const asked = this.rig.ask('CreateAlias', { aliasName, targetKeyId: key.arn })
    const result = await outcome(asked)
    if (isGoing(key)) return void expect(result).to.equal(refusal(key))
    if (this.#aliases.has(aliasName)) return void expect(result).to.equal('AlreadyExistsException')
    expect(result).to.equal(undefined)
    this.#aliases.set(aliasName, key)
  }

  async #updateAlias(): Promise<void> {
    const [key, aliasName] = [this.#anyKey(), this.#anyOf(ALIASES)]
    if (!key || aliasName === undefined) return
    const asked = this.rig.ask('UpdateAlias', { aliasName, targetKeyId: key.arn })
    const result = await outcome(asked)
    if (!this.#aliases.has(aliasName)) return void expect(result).to.equal('NotFoundException')
    if (isGoing(key)) return void expect(result).to.equal(refusal(key))
    expect(result).to.equal(undefined)
    this.#aliases.set(aliasName, key)
  }

  async #deleteAlias(): Promise<void> {
    const aliasName = this.#anyOf(ALIASES) ?? ''
    const result = await outcome(this.rig.ask('DeleteAlias', { aliasName }))
    expect(result).to.equal(this.#aliases.delete(aliasName) ? undefined : 'NotFoundException')
  }

  async #tag(): Promise<void> {
    const tags = TAG_KEYS.filter(() => this.#random() < 0.4).map((tagKey) => ({
      tagKey,
      tagValue: `${this.#random()}`,
    }))
    const tagged = await this.#changed(this.#anyKey(), 'TagResource', { tags })
    for (const { tagKey, tagValue } of tags) tagged?.tags.set(tagKey, tagValue)
  }

  async #untag(): Promise<void> {
    const tagKeys = TAG_KEYS.filter(() => this.#random() < 0.4)
    const untagged = await this.#changed(this.#anyKey(), 'UntagResource', { tagKeys })
    for (const tagKey of tagKeys) untagged?.tags.delete(tagKey)
  }

  /** Asks for a change that every key takes that is not going. The key, if it was made. */
  async #changed(
    key: ModelKey | undefined,
    operation: 'EnableKey' | 'DisableKey' | 'TagResource' | 'UntagResource',
    input: object = {},
  ): Promise<ModelKey | undefined> {
    if (!key) return undefined
    const result = await outcome(this.rig.ask(operation, { keyId: key.arn, ...input }))
    expect(result).to.equal(isGoing(key) ? refusal(key) : undefined)
    return isGoing(key) ? undefined : key
  }

  /** Rotation, deletion and uses at the same time: whichever way it ends, it ends wholly. */
  async #race(): Promise<void> {
    const key = this.#anyKey()
    if (!key || key.state !== 'Enabled') return
    const ask = (name: 'RotateKeyOnDemand' | 'ScheduleKeyDeletion' | 'DisableKey') =>
      outcome(this.rig.ask(name, { keyId: key.arn }))
    const races = [
      ask('RotateKeyOnDemand'),
      ...(this.#random() < 0.1 ? [ask('ScheduleKeyDeletion')] : []),
      ask('RotateKeyOnDemand'),
      ...(this.#random() < 0.2 ? [ask('DisableKey')] : []),
    ]
    const uses = Array.from({ length: 3 }, (_, i) => outcome(this.rig.encrypt(key.arn, `${i}`)))
    const results = await Promise.all(races)
    const rotated = results.filter((result) => isReply(result, 'keyState') === false).length
    key.rotations += rotated
    key.materials += rotated
    if (results.some((result) => isReply(result, 'keyState'))) {
      key.state = 'PendingDeletion'
      key.due = this.rig.clock.now() + 30 * DAY_MS
    } else if (results.includes(undefined)) key.state = 'Disabled'
    for (const [i, result] of (await Promise.all(uses)).entries())
      if (result instanceof Buffer) key.blobs.push({ blob: result, text: `${i}` })
      else expect(result).to.be.oneOf(['DisabledException', 'KMSInvalidStateException'])
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
    for (const key of due)
      if (destroyed.includes(key.arn)) this.#bury(key)
      else key.doomed = true
  }

  #bury(key: ModelKey): void {
    key.state = 'Destroyed'
    for (const [aliasName, target] of this.#aliases)
      if (target === key) this.#aliases.delete(aliasName)
  }

  async checkEverything(): Promise<void> {
    const { snapshot } = this.rig.storage
    const alive = this.#keys.filter((key) => key.state !== 'Destroyed')
    expect([...snapshot.allKeys()].map((key) => key.arn)).to.have.members(
      alive.map((key) => key.arn),
    )
    expect(
      new Map(
        snapshot
          .aliasesIn(ACCOUNT, REGION)
          .map(({ aliasName, targetKeyArn }) => [aliasName, targetKeyArn]),
      ),
    ).to.deep.equal(new Map([...this.#aliases].map(([name, { arn }]) => [name, arn])))
    for (const key of alive) {
      const stored = snapshot.findKey(key.arn)
      expect(stored?.state).to.equal(key.doomed ? 'Destroying' : key.state)
      expect(stored?.tags.map(({ tagKey, tagValue }) => [tagKey, tagValue])).to.deep.equal(
        [...key.tags].sort(([a], [b]) => (a < b ? -1 : 1)),
      )
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
    return this.#anyOf(this.#keys)
  }

  #anyOf<T>(items: readonly T[]): T | undefined {
    return items[Math.floor(this.#random() * items.length)]
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

function refusal({ state }: ModelKey): string {
  if (state === 'Destroyed') return 'NotFoundException'
  return state === 'Disabled' ? 'DisabledException' : 'KMSInvalidStateException'
}

function isGoing({ state }: ModelKey): boolean {
  return state === 'PendingDeletion' || state === 'Destroyed'
}

/** Why a ciphertext of the key does not open for a request that names `named`; undefined when it does. */
function opened(key: ModelKey, named: ModelKey | undefined): string | undefined {
  if (key.state === 'Destroyed') return 'AccessDeniedException'
  if (!named) return 'NotFoundException'
  if (named !== key) return 'IncorrectKeyException'
  return key.state === 'Enabled' ? undefined : refusal(key)
}

/** Whether the outcome is a reply with that member; undefined for an exception. */
function isReply(result: unknown, member: string): boolean | undefined {
  return typeof result === 'object' && result !== null ? member in result : undefined
}
