import { expect } from 'chai'
import { CustodyError } from '../../src/crypto/custody-error.ts'
import { exceptionOf } from './exception-of.ts'
import { putInState } from './keys-in-state.ts'
import { Rig } from './rig.ts'
import { seededRandom } from './seeded-random.ts'

const MINUTE_MS = 60 * 1000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const CONFLICT_MS = 20 * MINUTE_MS
const STEPS = Math.ceil(Number(process.env['MODEL_STEPS'] ?? 10_000) / 5)
const SEED = Number(process.env['MODEL_SEED'] ?? Date.now() % 2 ** 31)
const KEYS = 6

/** What must be true of a key, in the simplest words. */
interface ModelKey {
  readonly arn: string
  enabled: boolean
  period: number | undefined
  due: number
  /** One letter for each rotation, in order. */
  rotations: ('A' | 'O')[]
  readonly blobs: { readonly blob: Buffer; readonly text: string }[]
}

describe('rotation of keys, against a model', () => {
  it(`FM-F26 FM-F28: ${STEPS} random steps, seed ${SEED}`, async function () {
    this.timeout(60_000 + STEPS * 30)
    const walk = new Walk(await new Rig().start(), seededRandom(SEED))
    try {
      await walk.begin()
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

  async begin(): Promise<void> {
    for (let i = 0; i < KEYS; i++) {
      const { arn } = await this.rig.makeKey()
      this.#keys.push({ arn, enabled: true, period: undefined, due: 0, rotations: [], blobs: [] })
    }
    await this.rig.kms.heartbeat.beat()
  }

  async step(): Promise<void> {
    const steps: [number, () => Promise<void>][] = [
      [6, () => this.#enable()],
      [2, () => this.#disable()],
      [4, () => this.#switchState()],
      [4, () => this.#onDemand()],
      [8, () => this.#passTime()],
      [4, () => this.#comeNear()],
      [3, () => this.#jump()],
      [3, () => this.rig.kms.heartbeat.accept()],
      [3, () => this.rig.restart()],
      [12, () => this.#rotateDue()],
      [6, () => this.#encrypt()],
      [1, () => this.checkEverything()],
    ]
    let ticket = this.#random() * steps.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, run] of steps) {
      ticket -= weight
      if (ticket < 0) return run()
    }
  }

  async #enable(): Promise<void> {
    const key = this.#anyKey()
    const asked = this.#random() < 0.3 ? undefined : 90 + Math.floor(this.#random() * 4) * 90
    const input = { keyId: key.arn, rotationPeriodInDays: asked }
    const refusal = await exceptionOf(this.rig.ask('EnableKeyRotation', input))
    expect(refusal).to.equal(key.enabled ? undefined : 'DisabledException')
    if (refusal) return
    const period = asked ?? key.period ?? 365
    if (period !== key.period) key.due = this.rig.clock.now() + period * DAY_MS
    key.period = period
  }

  async #disable(): Promise<void> {
    const key = this.#anyKey()
    const refusal = await exceptionOf(this.rig.ask('DisableKeyRotation', { keyId: key.arn }))
    expect(refusal).to.equal(key.enabled ? undefined : 'DisabledException')
    if (!refusal) key.period = undefined
  }

  async #switchState(): Promise<void> {
    const key = this.#anyKey()
    key.enabled = !key.enabled
    await putInState(this.rig, key.arn, key.enabled ? 'Enabled' : 'Disabled')
  }

  async #onDemand(): Promise<void> {
    const key = this.#anyKey()
    const refusal = await exceptionOf(this.rig.ask('RotateKeyOnDemand', { keyId: key.arn }))
    expect(refusal).to.equal(this.#onDemandRefusal(key))
    if (!refusal) key.rotations.push('O')
  }

  /** Up to a week, sometimes a year; with a heartbeat every half hour, or accepted afterwards. */
  async #passTime(): Promise<void> {
    if (this.#random() < 0.7) {
      this.rig.clock.pass(Math.floor(this.#random() * (this.#random() < 0.2 ? 365 : 40) * DAY_MS))
      return this.rig.kms.heartbeat.accept()
    }
    for (let i = 0; i < 4; i++) {
      this.rig.clock.pass(HOUR_MS / 2)
      await this.rig.kms.heartbeat.beat()
    }
  }

  /** To within an hour of a date, on either side of it. */
  async #comeNear(): Promise<void> {
    const { due } = this.#anyKey()
    const ahead = due - this.rig.clock.now() + Math.floor((this.#random() - 0.5) * HOUR_MS)
    if (ahead <= 0) return
    this.rig.clock.pass(ahead)
    await this.rig.kms.heartbeat.accept()
  }

  /** Somebody sets the wall clock, or the machine was off. */
  async #jump(): Promise<void> {
    this.rig.clock.wall += Math.floor((this.#random() - 0.3) * 400 * DAY_MS)
    await this.rig.kms.heartbeat.beat()
  }

  /** One pass, or several at once, beside an on-demand rotation; the token may fail. */
  async #rotateDue(): Promise<void> {
    const now = this.#agreedNow()
    const due = this.#keys.filter((key) => this.#isDue(key, now))
    const held = this.#keys.filter(
      (key) => this.#isDue(key, this.rig.clock.now()) && !due.includes(key),
    )
    const failing = due.length > 0 && this.#random() < 0.1
    if (failing) this.#failToken()
    const passes = failing ? 1 : 1 + Math.floor(this.#random() * 3)
    const reports = await Promise.all(
      Array.from({ length: passes }, () => this.rig.kms.rotation.rotateDueKeys()),
    )
    const arns = (which: 'rotated' | 'failed') => reports.flatMap((report) => report[which])
    expect(arns('failed')).to.have.lengthOf(failing ? 1 : 0)
    expect([...arns('rotated'), ...arns('failed')]).to.have.members(due.map((key) => key.arn))
    for (const report of reports) expect(report.held).to.have.members(held.map((key) => key.arn))
    for (const key of due) if (arns('rotated').includes(key.arn)) this.#noteRotation(key, now)
  }

  #noteRotation(key: ModelKey, now: number): void {
    key.rotations.push('A')
    const from = now - key.due > DAY_MS ? now : key.due
    key.due = from + (key.period ?? 0) * DAY_MS
  }

  async #encrypt(): Promise<void> {
    const key = this.#anyKey()
    if (!key.enabled) return
    const text = `${this.#random()}`
    key.blobs.push({ blob: await this.rig.encrypt(key.arn, text), text })
  }

  async checkEverything(): Promise<void> {
    for (const key of this.#keys) {
      await this.#checkSchedule(key)
      await this.#checkHistory(key)
      if (key.enabled)
        for (const { blob, text } of key.blobs) expect(await this.rig.decrypt(blob)).to.equal(text)
    }
  }

  async #checkSchedule({ arn, period, due }: ModelKey): Promise<void> {
    const status = await this.rig.ask('GetKeyRotationStatus', { keyId: arn })
    const on = { rotationPeriodInDays: period, nextRotationDate: new Date(due) }
    expect(status).to.deep.equal({
      keyId: arn,
      keyRotationEnabled: period !== undefined,
      ...(period !== undefined && on),
    })
  }

  async #checkHistory({ arn, rotations }: ModelKey): Promise<void> {
    const listed = await this.rig.ask('ListKeyRotations', { keyId: arn, limit: 1000 })
    expect(
      listed.rotations.map((one: { rotationType: string }) => one.rotationType[0]),
    ).to.deep.equal(rotations)
    const materials = this.rig.storage.snapshot.materialsOf(arn)
    expect(materials).to.have.lengthOf(1 + rotations.length)
    expect(materials.at(-1)?.material.materialId).to.equal(
      this.rig.storage.snapshot.findKey(arn)?.currentMaterialId,
    )
  }

  #onDemandRefusal(key: ModelKey): string | undefined {
    if (!key.enabled) return 'DisabledException'
    if (this.#isDue(key, this.#agreedNow() + CONFLICT_MS)) return 'ConflictException'
    const onDemand = key.rotations.filter((type) => type === 'O')
    return onDemand.length < 25 ? undefined : 'LimitExceededException'
  }

  #isDue({ enabled, period, due }: ModelKey, now: number): boolean {
    return enabled && period !== undefined && due <= now
  }

  #agreedNow(): number {
    return this.rig.kms.heartbeat.agreedNow()
  }

  #failToken(): void {
    const lost = new CustodyError('DEADLINE', 'no answer')
    if (this.#random() < 0.5) this.rig.custody.loseNextMade(lost)
    else
      this.rig.custody.beforeNext('make', () => {
        throw lost
      })
  }

  #anyKey(): ModelKey {
    const key = this.#keys[Math.floor(this.#random() * this.#keys.length)]
    if (!key) throw new RangeError('no keys')
    return key
  }
}
