import type { Sensitive } from '../bytes/sensitive.ts'
import { CustodyError } from '../crypto/custody-error.ts'
import type { Material } from '../crypto/key-custody.ts'
import type { VendorProfile } from '../pkcs11/vendor-profile.ts'
import { LaneError } from './lane-error.ts'
import { LaneProcess } from './lane-process.ts'
import {
  type CallClass,
  type ForgetRequest,
  LANE_CALLS,
  type LaneCall,
  type LearnReply,
  materialToJson,
  type StartReply,
  type StartRequest,
  type TokenAnchors,
  type WarmRequest,
} from './lane-protocol.ts'
import { LaneRotation, noLane } from './lane-rotation.ts'
import type { LoginLatch } from './login-latch.ts'
import { Turns } from './turns.ts'

/** Keys that a lane proves before it serves, at about 0.1 ms each. */
const MOST_IN_USE = 2000
/** Waits between attempts to replace a lane, in milliseconds; the last one repeats. Half of each is jitter. */
const RESPAWN_WAITS_MS = [0, 100, 250, 500, 1000]
/** Lanes that missed a birth learn of it once births have paused this long, one lane at a time. */
const TEACH_AFTER_MS = 1500
/**
 * How long a session copy may outlive a key that somebody else destroyed, another daemon or another tool: so often every lane
 * searches, one at a time and out of rotation.
 */
const REVIEW_MS = 60_000
/** A key that no lane shows right after a search is missing; the search is not repeated for this long. */
const TAUGHT_HOLDS_MS = 250
/** How long a search or a login waits for a write of another lane, and the other way round. */
const TURN_PATIENCE_MS = 2000
/**
 * How long a silent lane may yet answer before it counts as hung. Its requests have long been tried on another lane, and the
 * spare serves in its place, so patience costs nobody anything; SoftHSM2 with 10,000 keys stalls every process for 170–740 ms
 * after each object that anybody writes, and a lane that is killed for it takes seconds to come back.
 */
const SUSPICION_MS = 1000
/** How long `stop` waits for lanes that do not write before it kills them. */
const STOP_WAIT_MS = 3000
/** A use call is executed at most twice (ARCH-D2); answers of "not executed, ask another" do not count. */
const EXECUTIONS = 2

export interface TokenPoolOptions {
  readonly modulePath: string
  readonly libraryParameters?: string
  readonly tokenSerial: string
  readonly pin: Sensitive<string>
  readonly profile: VendorProfile
  /** Environment of the lanes, whole: nothing else is passed on. */
  readonly environment: Readonly<Record<string, string>>
  readonly guardDirectory: string
  readonly latch: LoginLatch
  readonly log: (
    level: 'info' | 'warn' | 'error',
    message: string,
    facts: Record<string, unknown>,
  ) => void
}

export interface TokenPoolStatus {
  readonly state: 'starting' | 'serving' | 'degraded' | 'down' | 'latched' | 'stopped'
  readonly inRotation: number
  readonly spare: boolean
  readonly cold: boolean
  /** Lanes replaced since the start. */
  readonly replaced: number
  readonly lanes: readonly {
    readonly name: string
    readonly pid: number | undefined
    readonly role: 'hot' | 'spare' | 'cold'
  }[]
  readonly token: StartReply['token'] | undefined
  /** Why the last lane could not start, until one does. */
  readonly trouble: string | undefined
}

/**
 * Supervises the lanes of one token (ARCH-D1 to D4): two or more hot lanes in rotation, a warm spare that takes the place of
 * a lost lane at once, and one cold lane for everything that makes, lists or destroys. The spare also is the lane that
 * learns of new objects and proves them; it then changes places with a lane that has not, so that no lane ever searches
 * while it serves.
 */
export class TokenPool {
  readonly options: TokenPoolOptions
  readonly #rotation = new LaneRotation()
  /** Hot lanes that are warm but not serving: normally one. */
  readonly #bench: LaneProcess[] = []
  readonly #suspects = new Set<LaneProcess>()
  #cold: LaneProcess | undefined
  #coldWaiters: (() => void)[] = []
  readonly #all = new Set<LaneProcess>()
  readonly #knows = new WeakMap<LaneProcess, number>()
  #births = 0
  readonly #inUse = new Set<Material>()
  readonly #warmed = new WeakMap<LaneProcess, Set<Material>>()
  #taughtAt = 0
  #teaching: Promise<void> | undefined
  #teachTimer: NodeJS.Timeout | undefined
  #reviewTimer: NodeJS.Timeout | undefined
  #benchWork: Promise<unknown> = Promise.resolve()
  /**
   * What writes objects and what reads the whole token take turns, also across lanes (FM-R8): SoftHSM2 2.6.1 shows a process
   * that indexes the token objects half written, and has read back wrong attributes of a key made in that moment.
   */
  readonly #turns = new Turns()
  #anchors: TokenAnchors | undefined
  #token: StartReply['token'] | undefined
  #trouble: string | undefined
  #failures = 0
  #serial = 0
  #replaced = 0
  #started = false
  #healthTurn = 0
  #stopping = false
  #latched = false
  #filling: Promise<void> | undefined

  constructor(options: TokenPoolOptions) {
    this.options = options
  }

  // ── life ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Brings up one hot lane, then the others behind it: a wrong PIN is tried once, by one lane. Without anchors only the cold
   * lane starts (`token init`). Rejects with CustodyError when the first lane cannot start; the pool goes on trying unless
   * the login was refused.
   */
  async start(anchors: TokenAnchors | undefined): Promise<void> {
    this.#started = true
    this.#anchors = anchors
    this.#reviewInTurns()
    if (!anchors) {
      this.#cold = await this.#startLane('cold')
      return
    }
    try {
      this.#rotation.put(await this.#startLane('hot'))
    } finally {
      void this.#fill()
    }
  }

  /** Gives the lanes their canary after `token init` has made it, and brings up the hot ones. */
  async adopt(anchors: TokenAnchors): Promise<void> {
    this.#anchors = anchors
    this.#dismissCold()
    await this.start(anchors)
  }

  /** Lets every lane finish what it does and waits for its end. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#wakeColdWaiters()
    clearTimeout(this.#teachTimer)
    clearInterval(this.#reviewTimer)
    const lanes = [...this.#all]
    for (const lane of lanes) lane.dismiss()
    const impatience = setTimeout(() => {
      for (const lane of lanes) if (!lane.writing || this.options.profile.killSafe) lane.kill()
    }, STOP_WAIT_MS)
    await Promise.all(lanes.map((lane) => lane.ended()))
    clearTimeout(impatience)
  }

  /** Tries to log in again after `token unlatch` or with a changed PIN. */
  async retryLogin(): Promise<void> {
    if (!this.#latched) return
    this.#latched = false
    this.#failures = 0
    await this.#fill()
  }

  status(): TokenPoolStatus {
    const row = (role: 'hot' | 'spare' | 'cold') => (lane: LaneProcess) => ({
      name: lane.name,
      pid: lane.pid,
      role,
    })
    return {
      state: this.#state(),
      inRotation: this.#rotation.size,
      spare: this.#bench.length > 0,
      cold: this.#cold !== undefined,
      replaced: this.#replaced,
      lanes: [
        ...this.#rotation.lanes.map(row('hot')),
        ...this.#bench.map(row('spare')),
        ...(this.#cold ? [this.#cold].map(row('cold')) : []),
      ],
      token: this.#token,
      trouble: this.#trouble,
    }
  }

  #state(): TokenPoolStatus['state'] {
    if (this.#stopping) return 'stopped'
    if (this.#latched) return 'latched'
    if (this.#rotation.size === 0) return this.#failures > 0 ? 'down' : 'starting'
    return this.#rotation.size < this.options.profile.hotLanes ? 'degraded' : 'serving'
  }

  // ── using keys ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The canary in one hot lane, the next time in the next one (XKS H-03). It is a use like any other: a hung canary makes its lane
   * suspect just as a hung request does, and no sooner.
   */
  async health(): Promise<void> {
    const { lanes } = this.#rotation
    this.#healthTurn += 1
    await this.use('health', [], lanes[this.#healthTurn % lanes.length])
  }

  /**
   * A call on a hot lane, on `first` if it still serves, tried once more on another one, all inside the profile's deadlines
   * (ARCH-D2, FM-R7).
   */
  async use(call: LaneCall, parts: readonly Buffer[], first?: LaneProcess): Promise<Buffer> {
    const { use, useTotal } = this.options.profile.deadlinesMs
    let until = Date.now() + useTotal
    let executions = 0
    const failed = new Set<LaneProcess>()
    /** Lanes that did not know the key, and how much they knew when they said so. */
    const ignorant = new Map<LaneProcess, number>()
    const accepts = (lane: LaneProcess) =>
      !failed.has(lane) && ignorant.get(lane) !== this.#knowledge(lane)
    for (;;) {
      const lane =
        this.#stillServes(first, accepts) ??
        this.#rotation.find(accepts) ??
        (await this.#laneFor(accepts, until))
      try {
        return await lane.call(call, parts, Math.min(Date.now() + use, until))
      } catch (error) {
        if (!(error instanceof LaneError)) throw error
        this.#follow(lane, error)
        if (!mayAnotherLaneAnswer(error)) throw error
        if (error.advice === 'recover') continue // not executed, and the lane has left the rotation
        if (error.advice === 'learn') {
          ignorant.set(lane, this.#knowledge(lane))
          if (this.#rotation.find(accepts)) continue
          const upToDate = this.#knowledge(lane) >= this.#births
          if (upToDate && Date.now() - this.#taughtAt < TAUGHT_HOLDS_MS) throw error // it is not there
          await this.#teachOne()
          until = Date.now() + useTotal
          continue
        }
        failed.add(lane)
        executions += 1
        if (executions >= EXECUTIONS || Date.now() >= until) throw error
      }
    }
  }

  #stillServes(
    lane: LaneProcess | undefined,
    accepts: (lane: LaneProcess) => boolean,
  ): LaneProcess | undefined {
    return lane && accepts(lane) && this.#rotation.includes(lane) ? lane : undefined
  }

  /** For whom no lane of the rotation will do. */
  async #laneFor(accepts: (lane: LaneProcess) => boolean, until: number): Promise<LaneProcess> {
    const [only] = this.#rotation.lanes
    if (only && this.options.profile.hotLanes === 1) return only
    if (this.#state() === 'down' || this.#latched || this.#stopping) throw noLane() // at once: FM-F02
    return this.#rotation.waitFor(accepts, until)
  }

  #follow(lane: LaneProcess, error: LaneError): void {
    const { advice } = error
    // Not put off by every further request: under steady load of a new key its lane would stay the only one.
    if (advice === 'learn' && !this.#teachTimer) this.#teachSoon()
    if (advice === 'recover' && this.#rotation.take(lane)) void this.#recover(lane)
    if (advice === 'replace') this.#discard(lane, error)
  }

  async #recover(lane: LaneProcess): Promise<void> {
    this.#promoteSpare()
    try {
      await this.#turns.take(TURN_PATIENCE_MS, () =>
        lane.call('recover', [], this.#deadlineOf('recover')),
      )
      this.#seat(lane)
    } catch (error) {
      this.#noteFailure(lane, error)
      this.#discard(lane)
    }
  }

  /** Says that a key is in use: lanes that come into service have proven it before. The keys named last count. */
  noteUse(material: Material): void {
    if (this.#inUse.has(material)) return
    this.#inUse.add(material)
    if (this.#inUse.size <= MOST_IN_USE) return
    for (const oldest of this.#inUse) {
      this.#inUse.delete(oldest)
      return
    }
  }

  // ── learning of new objects ────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Has a lane that is not serving learn what is new in the token, do `work`, and take the place of a lane that knows less.
   * One at a time.
   */
  withLearnedLane<T>(work: (lane: LaneProcess) => Promise<T>): Promise<T> {
    const turn = this.#benchWork.then(() => this.#learnAndWork(work))
    this.#benchWork = turn.catch(() => {})
    return turn
  }

  /** Has every lane forget keys that are gone from the token, with their session copies. A lane that does not answer is ended. */
  async forget(objectIds: readonly string[]): Promise<void> {
    const request = { objectIds } satisfies ForgetRequest
    const forgets = async (lane: LaneProcess) => {
      try {
        await lane.callJson('forget', request, this.#deadlineOf('forget'))
      } catch {
        this.#discard(lane)
      }
    }
    await Promise.all([...this.#all].filter((lane) => lane !== this.#cold).map(forgets))
  }

  /** Says that something was made or destroyed in the token: every lane searches soon. */
  noteChange(): void {
    this.#births += 1
    this.#teachSoon()
  }

  async #learnAndWork<T>(work: (lane: LaneProcess) => Promise<T>): Promise<T> {
    const lane = await this.#takeAside()
    try {
      const births = this.#births
      await this.#turns.take(TURN_PATIENCE_MS, () =>
        lane.callJson<LearnReply>('learn', {}, this.#deadlineOf('learn')),
      )
      this.#knows.set(lane, births)
      await this.#warm(lane)
      return await work(lane)
    } catch (error) {
      if (error instanceof LaneError && error.advice === 'replace') this.#discard(lane)
      throw error
    } finally {
      this.#exchange(lane)
    }
  }

  /**
   * Has a lane that is not serving prove the keys that are in use, so that no request pays for it: with SoftHSM2 at 10,000 keys
   * the first look at a key after a write takes 200–700 ms. A key that fails here fails again for whoever uses it.
   */
  async #warm(lane: LaneProcess): Promise<void> {
    const warmed = this.#warmed.get(lane) ?? new Set()
    this.#warmed.set(lane, warmed)
    const materials = [...this.#inUse].filter((material) => !warmed.has(material))
    if (materials.length === 0) return
    for (const material of materials) warmed.add(material)
    const request = { materials: materials.map(materialToJson) } satisfies WarmRequest
    await lane.callJson('warm', request, this.#deadlineOf('warm'))
  }

  /** The spare, or, where there is none, the lane of the rotation that knows least. */
  async #takeAside(): Promise<LaneProcess> {
    const spare = this.#bench.shift()
    if (spare) return spare
    const lane = this.#stalest()
    if (lane && (this.#rotation.size > 1 || this.options.profile.hotLanes === 1)) {
      this.#rotation.take(lane)
      return lane
    }
    const serving = [...this.#rotation.lanes]
    await this.#rotation.waitFor((lane) => !serving.includes(lane), this.#deadlineOf('learn'))
    return this.#takeAside()
  }

  #exchange(lane: LaneProcess): void {
    if (lane.gone || !this.#all.has(lane)) return
    const stale = this.#stalest()
    const full = this.#rotation.size >= this.options.profile.hotLanes
    if (full && stale && this.#knowledge(stale) < this.#knowledge(lane)) {
      this.#rotation.take(stale)
      this.#rotation.put(lane)
      this.#sit(stale)
    } else this.#seat(lane)
  }

  #stalest(): LaneProcess | undefined {
    let stalest: LaneProcess | undefined
    for (const lane of this.#rotation.lanes)
      if (!stalest || this.#knowledge(lane) < this.#knowledge(stalest)) stalest = lane
    return stalest
  }

  #knowledge(lane: LaneProcess): number {
    return this.#knows.get(lane) ?? 0
  }

  /** Has one lane search for what no lane of the rotation knows; whoever asks meanwhile waits for the same search. */
  #teachOne(): Promise<void> {
    this.#teaching ??= this.#searchOnce().finally(() => {
      this.#teaching = undefined
    })
    return this.#teaching
  }

  async #searchOnce(): Promise<void> {
    this.#births += 1 // so that the lane which searches knows more than the others
    await this.withLearnedLane(async () => {})
    this.#taughtAt = Date.now()
  }

  #teachSoon(): void {
    if (this.#stopping) return
    clearTimeout(this.#teachTimer)
    this.#teachTimer = setTimeout(() => {
      this.#teachTimer = undefined
      void this.#teachAll()
    }, TEACH_AFTER_MS)
    this.#teachTimer.unref()
  }

  #reviewInTurns(): void {
    const { sessionCopies } = this.options.profile
    if (!sessionCopies || this.#reviewTimer) return
    this.#reviewTimer = setInterval(() => {
      this.#births += 1
      void this.#teachAll()
    }, REVIEW_MS)
    this.#reviewTimer.unref()
  }

  async #teachAll(): Promise<void> {
    const behind = () =>
      [...this.#rotation.lanes, ...this.#bench].some((lane) => this.#knowledge(lane) < this.#births)
    for (let rounds = 0; behind() && !this.#stopping && rounds <= this.#all.size; rounds += 1)
      await this.withLearnedLane(async () => {}).catch(() => {})
  }

  // ── the cold lane ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** A call on the cold lane. Never repeated: whoever made something must look first (FM-R7). */
  async cold<Reply>(call: LaneCall, request: object): Promise<Reply> {
    const lane = await this.#coldLane()
    try {
      return await this.#turns.take(TURN_PATIENCE_MS, () =>
        lane.callJson<Reply>(call, request, this.#deadlineOf(call)),
      )
    } catch (error) {
      if (error instanceof LaneError && error.advice !== 'keep') this.#discard(lane)
      throw error
    }
  }

  async #coldLane(): Promise<LaneProcess> {
    const until = this.#deadlineOf('learn')
    while (!this.#cold) {
      if (this.#latched || this.#stopping || Date.now() >= until) throw noLane()
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(1, until - Date.now()))
        this.#coldWaiters.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
    return this.#cold
  }

  #dismissCold(): void {
    const cold = this.#cold
    this.#cold = undefined
    if (!cold) return
    this.#all.delete(cold)
    cold.dismiss()
  }

  // ── starting and replacing lanes ───────────────────────────────────────────────────────────────────────────────────

  /** Starts whatever is missing, one lane after another, until everything stands or the login is refused. Single-flight. */
  #fill(): Promise<void> {
    this.#filling ??= this.#fillUntilWhole().finally(() => {
      this.#filling = undefined
    })
    return this.#filling
  }

  async #fillUntilWhole(): Promise<void> {
    for (;;) {
      const missing = this.#missing()
      if (!missing || this.#stopping || this.#latched || !this.#started) return
      await pause(this.#respawnWaitMs())
      if (this.#stopping) return
      try {
        const lane = await this.#startLane(missing)
        if (missing === 'cold') this.#seatCold(lane)
        else this.#seat(lane)
      } catch {
        // noted by #startLane; the wait before the next attempt grows
      }
    }
  }

  #missing(): 'hot' | 'cold' | undefined {
    const hot = this.options.profile.hotLanes
    if (this.#rotation.size === 0 && this.#bench.length === 0) return 'hot'
    if (!this.#cold) return 'cold'
    const warm = [...this.#all].filter((lane) => lane !== this.#cold).length
    return warm < hot + 1 ? 'hot' : undefined
  }

  #respawnWaitMs(): number {
    const wait = RESPAWN_WAITS_MS[Math.min(this.#failures, RESPAWN_WAITS_MS.length - 1)] ?? 0
    return wait / 2 + (Math.random() * wait) / 2
  }

  async #startLane(role: 'hot' | 'cold'): Promise<LaneProcess> {
    const { latch, tokenSerial, pin } = this.options
    const refusal = latch.refusal(tokenSerial, pin)
    if (refusal !== undefined) {
      this.#latched = true
      this.#trouble = refusal
      throw new CustodyError('LOGIN_REFUSED', refusal)
    }
    const births = this.#births
    const lane = this.#spawn(role)
    try {
      const reply = await this.#turns.take(TURN_PATIENCE_MS, () =>
        lane.callJson<StartReply>('start', this.#startRequest(role), this.#deadlineOf('start')),
      )
      this.#token = reply.token
      this.#failures = 0
      this.#trouble = undefined
      this.#knows.set(lane, births)
      if (role === 'hot') await this.#warm(lane)
      this.options.log('info', 'lane started', { lane: lane.name, ...reply })
      return lane
    } catch (error) {
      this.#noteFailure(lane, error)
      this.#discard(lane)
      throw error
    }
  }

  #spawn(role: 'hot' | 'cold'): LaneProcess {
    const { environment, profile, log } = this.options
    this.#serial += 1
    const lane = new LaneProcess({
      name: `${role}-${this.#serial}`,
      environment: { ...environment, P11FAULT_LANE_ROLE: role },
      callsPerLane: role === 'hot' ? profile.callsPerLane : 1,
      onGone: (gone, cause) => this.#laneEnded(gone, cause),
      onDeadline: (late, call, silentMs) => {
        if (silentMs >= profile.deadlinesMs[DEADLINE_OF[LANE_CALLS[call].class]])
          void this.#suspect(late, call)
      },
      onLog: (from, line) => log('warn', 'lane says', { lane: from.name, line }),
    })
    this.#all.add(lane)
    return lane
  }

  #startRequest(role: 'hot' | 'cold'): StartRequest {
    const { modulePath, libraryParameters, tokenSerial, pin, profile, guardDirectory } =
      this.options
    return {
      modulePath,
      ...(libraryParameters === undefined ? {} : { libraryParameters }),
      tokenSerial,
      pin: pin.reveal(),
      profile,
      role,
      ...(this.#anchors ? { anchors: this.#anchors } : {}),
      guardDirectory,
    }
  }

  #noteFailure(lane: LaneProcess, error: unknown): void {
    const { latch, tokenSerial, pin, log } = this.options
    const message = error instanceof Error ? error.message : String(error)
    this.#failures += 1
    this.#trouble = message
    log('error', 'lane failed', { lane: lane.name, error: message })
    if (error instanceof CustodyError && error.code === 'LOGIN_REFUSED') {
      latch.close(tokenSerial, pin, message)
      this.#latched = true
      this.#wakeColdWaiters()
    }
  }

  #seat(lane: LaneProcess): void {
    if (lane.gone || !this.#all.has(lane)) return
    if (this.#rotation.size < this.options.profile.hotLanes) this.#rotation.put(lane)
    else this.#sit(lane)
  }

  /** One spare is enough: a second one may go. */
  #sit(lane: LaneProcess): void {
    if (this.#bench.length === 0) this.#bench.push(lane)
    else {
      this.#all.delete(lane)
      lane.dismiss()
    }
  }

  #seatCold(lane: LaneProcess): void {
    if (lane.gone) return
    this.#cold = lane
    this.#wakeColdWaiters()
  }

  #wakeColdWaiters(): void {
    const waiters = this.#coldWaiters
    this.#coldWaiters = []
    for (const wake of waiters) wake()
  }

  #promoteSpare(): void {
    const spare = this.#bench.shift()
    if (spare) this.#seat(spare)
  }

  /**
   * A lane that has said nothing for a whole deadline leaves the rotation. A starved process still says something soon, and
   * comes back; a hung call never does, and only SIGKILL ends it (ARCH-D2).
   */
  async #suspect(lane: LaneProcess, call: LaneCall): Promise<void> {
    if (this.#suspects.has(lane)) return
    this.options.log('warn', 'lane did not answer in time', { lane: lane.name, call })
    this.#suspects.add(lane)
    // The last lane stays: if it is only starved it still serves, and if it hangs nobody is worse off.
    const isLast = this.#rotation.size === 1 && this.#bench.length === 0
    const wasServing = !isLast && this.#rotation.take(lane)
    if (wasServing) this.#promoteSpare()
    const heard = await lane.heardBy(Date.now() + SUSPICION_MS)
    this.#suspects.delete(lane)
    if (!heard) this.#discard(lane)
    else if (wasServing) this.#seat(lane)
  }

  /**
   * Takes a lane out of everything and ends it: by SIGKILL, unless that could harm the token (ARCH-D2). The reason is logged: of a
   * token that lies to one lane (XKS E-15) nobody else hears.
   */
  #discard(lane: LaneProcess, reason?: LaneError): void {
    if (!this.#withdraw(lane)) return
    if (reason) {
      const { code, message } = reason
      this.options.log('warn', 'lane replaced', { lane: lane.name, code, reason: message })
    }
    if (lane.writing && !this.options.profile.killSafe) {
      this.options.log('warn', 'lane set aside in the middle of a write', { lane: lane.name })
      lane.dismiss()
    } else lane.kill()
  }

  #laneEnded(lane: LaneProcess, cause: string): void {
    if (!this.#withdraw(lane) || this.#stopping) return
    this.options.log('warn', 'lane ended', { lane: lane.name, cause })
  }

  #withdraw(lane: LaneProcess): boolean {
    if (!this.#all.delete(lane)) return false
    const benchIndex = this.#bench.indexOf(lane)
    if (benchIndex >= 0) this.#bench.splice(benchIndex, 1)
    if (this.#cold === lane) this.#cold = undefined
    if (this.#rotation.take(lane)) this.#promoteSpare()
    if (this.#stopping) return true
    this.#replaced += 1
    if (this.#anchors) void this.#fill()
    return true
  }

  #deadlineOf(call: LaneCall): number {
    return Date.now() + this.options.profile.deadlinesMs[DEADLINE_OF[LANE_CALLS[call].class]]
  }
}

/** Which deadline of the profile holds for a class of calls. */
const DEADLINE_OF = {
  use: 'use',
  find: 'find',
  survey: 'write',
  write: 'write',
} as const satisfies Record<CallClass, keyof VendorProfile['deadlinesMs']>

/** CustodyErrors that say something about the request, not about the lane: asking elsewhere would change nothing. */
const FINAL_CODES: ReadonlySet<string> = new Set([
  'CIPHERTEXT_REJECTED',
  'KEY_AMBIGUOUS',
  'KEY_USAGE',
  'UNSUPPORTED',
  'INPUT',
])

function mayAnotherLaneAnswer(error: LaneError): boolean {
  return !FINAL_CODES.has(error.code)
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
