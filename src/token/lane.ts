import { CustodyError } from '../crypto/custody-error.ts'
import { Pkcs11Error } from '../pkcs11/pkcs11-error.ts'
import { Aead } from './aead.ts'
import { Evidence } from './evidence.ts'
import { adopt } from './lane-adopt.ts'
import { laneErrorOf } from './lane-fault.ts'
import { destroy, generate, listObjects, show } from './lane-objects.ts'
import {
  type DestroyRequest,
  type ForgetRequest,
  type LaneCall,
  type LearnReply,
  type ListReply,
  materialFromJson,
  type OwnerReply,
  type OwnerRequest,
  type ProveRequest,
  type RecordRequest,
  type ShowRequest,
  type StartReply,
  type StartRequest,
  type WarmRequest,
} from './lane-protocol.ts'
import { claimToken, findOwner, listRecords, writeRecord } from './lane-records.ts'
import { type LaneState, materialUse } from './lane-state.ts'
import { atOnce, runSteps, type Steps } from './lane-steps.ts'
import { LaneToken, type Lease } from './lane-token.ts'
import {
  cured,
  decrypt,
  encrypt,
  encryptRandom,
  encryptVerified,
  provenKeys,
  random,
} from './lane-use.ts'
import { ObjectIndex } from './object-index.ts'
import { SessionCopies } from './session-copies.ts'

type Work = (lane: LaneState, payload: Buffer, deadlineAt: number) => Steps<Buffer>

/** What a lane does for each call, once it has started. */
const WORK: Readonly<Record<Exclude<LaneCall, 'start'>, Work>> = {
  encrypt,
  decrypt,
  encryptRandom,
  encryptVerified,
  random,
  health: json('health', health),
  learn: json('learn', learn),
  recover,
  prove: json('prove', prove),
  warm: json('warm', warm),
  adopt: json('adopt', adopt),
  generate: json('generate', generate),
  record: json('record', record),
  owner: json('owner', owner),
  destroy: json('destroy', (lane, lease, { plan }: DestroyRequest) => destroy(lane, lease, plan)),
  forget: json('forget', forget),
  list: json('list', list),
  show: json('show', (lane, lease, { material }: ShowRequest) => show(lane, lease, material)),
}

/** One lane: nothing until `start`, then a logged-in token that answers calls. */
export class Lane {
  #state: LaneState | undefined
  #callsAtOnce = 1

  /** 1: every call runs synchronously. More: that many calls in promise form, each on a session of its own. */
  get callsAtOnce(): number {
    return this.#callsAtOnce
  }

  /** The work of one call; what it throws is for `laneErrorOf`. `payload` is read until the work is done. */
  begin(call: LaneCall, payload: Buffer, deadlineAt: number): Steps<Buffer> {
    if (call === 'start') return atOnce(() => this.#start(payload, deadlineAt))
    if (!this.#state) throw new TypeError(`${call} before start`)
    return WORK[call](this.#state, payload, deadlineAt)
  }

  #start(payload: Buffer, deadlineAt: number): Buffer {
    if (this.#state) throw new TypeError('a lane starts once')
    const request = startRequest(payload)
    const { profile, role } = request
    try {
      const state = open(request, deadlineAt)
      const callsAtOnce = role === 'hot' ? profile.callsPerLane : 1
      refresh(state)
      state.token.warm(callsAtOnce)
      this.#callsAtOnce = callsAtOnce
      this.#state = state
      return bytesOf(startReply(state))
    } catch (error) {
      throw laneErrorOf(error, SICK)
    }
  }
}

// ── start and recover ────────────────────────────────────────────────────────────────────────────────────────────────

/** A code that may mean anything, while the lane as a whole is set up: another process may fare better. */
const SICK = { code: 'DEVICE_GONE', advice: 'replace' } as const

/** About 3 KB each in the memory of the module. Keys beyond are used as token objects. */
const MOST_COPIES = 20_000

function open(request: StartRequest, deadlineAt: number): LaneState {
  const { profile, role } = request
  const token = LaneToken.open(request, deadlineAt)
  const aead = new Aead(profile)
  const copies = new SessionCopies({
    openSession: () => token.openSession(),
    profile,
    most: role === 'hot' && profile.sessionCopies ? MOST_COPIES : 0,
  })
  const index = new ObjectIndex((key) => copies.destroy(key))
  const canary = () => state.anchors && materialUse(state.anchors.canary)
  const state: LaneState = {
    token,
    aead,
    index,
    copies,
    evidence: new Evidence({ aead, index, canary }),
    anchors: request.anchors,
  }
  return state
}

function recover(lane: LaneState, _payload: Buffer, deadlineAt: number): Steps<Buffer> {
  return atOnce(() => {
    try {
      lane.evidence.forget()
      lane.token.recover(deadlineAt)
      refresh(lane)
      return bytesOf({ objects: lane.index.size } satisfies LearnReply)
    } catch (error) {
      throw laneErrorOf(error, SICK)
    }
  })
}

/** Every handle anew, and the canary under them. */
function refresh(lane: LaneState): void {
  const lease = lane.token.take()
  try {
    lane.copies.forget()
    lane.index.rebuild(lease.session)
    runSteps(lane.evidence.assertCanary(lease))
  } finally {
    lane.token.giveBack(lease)
  }
}

function startReply({ token, index }: LaneState): StartReply {
  const { label, serial, manufacturer, model, hardware, firmware } = token.info
  return {
    pid: process.pid,
    objects: index.size,
    token: { label, serial, manufacturer, model, hardware, firmware },
    restoredFiles: token.restoredFiles,
  }
}

// ── the calls that carry JSON ────────────────────────────────────────────────────────────────────────────────────────

function json<Request, Reply extends object>(
  call: LaneCall,
  work: (lane: LaneState, lease: Lease, request: Request) => Steps<Reply>,
): Work {
  return (lane, payload) => {
    const request = parsed(payload) as Request
    return cured(lane, call, undefined, function* (lease) {
      return bytesOf(yield* work(lane, lease, request))
    })
  }
}

function* health(lane: LaneState, lease: Lease): Steps<object> {
  yield* lane.evidence.assertCanary(lease)
  yield* lane.evidence.assertEncrypts(lease)
  return {}
}

function learn(lane: LaneState, lease: Lease): Steps<LearnReply> {
  return atOnce(() => {
    lane.index.learn(lease.session, () => runSteps(lane.evidence.assertCanary(lease)))
    return { objects: lane.index.size }
  })
}

function forget(lane: LaneState, _lease: Lease, { objectIds }: ForgetRequest): Steps<object> {
  return atOnce(() => {
    for (const id of objectIds) lane.index.drop(id)
    return {}
  })
}

function* prove(lane: LaneState, lease: Lease, { material }: ProveRequest): Steps<object> {
  const use = materialUse(materialFromJson(material))
  yield* lane.evidence.assertProof(lease, use)
  yield* provenKeys(lane, lease, use) // its session copy too, before somebody waits for it
  return {}
}

/** A key that fails is left to whoever uses it: there the failure has its cure. */
function* warm(lane: LaneState, lease: Lease, { materials }: WarmRequest): Steps<object> {
  for (const material of materials) {
    try {
      yield* provenKeys(lane, lease, materialUse(materialFromJson(material)))
    } catch (error) {
      if (!(error instanceof CustodyError || error instanceof Pkcs11Error)) throw error
      if (lease.session.tainted) lease.renew()
    }
  }
  return {}
}

function record(lane: LaneState, lease: Lease, request: RecordRequest): Steps<object> {
  return atOnce(() => {
    writeRecord(lane, lease.session, request)
    return {}
  })
}

/** That nobody owns the token, or that it holds nothing, is believed while the canary works (FM-R6). */
function* owner(lane: LaneState, lease: Lease, { claim }: OwnerRequest): Steps<OwnerReply> {
  if (claim) claimToken(lane, lease.session, claim)
  const found = findOwner(lane, lease.session)
  if (!found) yield* lane.evidence.assertCanary(lease)
  return { owner: found }
}

function* list(lane: LaneState, lease: Lease): Steps<ListReply> {
  const { session } = lease
  const reply = {
    objects: listObjects(session),
    records: listRecords(lane, session),
    owner: findOwner(lane, session),
  }
  yield* lane.evidence.assertCanary(lease)
  return reply
}

// ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

function parsed(payload: Buffer): unknown {
  return payload.length === 0 ? {} : JSON.parse(payload.toString('utf8'))
}

function bytesOf(reply: object): Buffer {
  return Buffer.from(JSON.stringify(reply))
}

/** The canary's proof arrives as JSON.stringify writes a Buffer, or in base64. */
function startRequest(payload: Buffer): StartRequest {
  const request = parsed(payload) as StartRequest
  if (!request.anchors) return request
  const { canary, recordKeyId } = request.anchors
  const { proof } = canary as unknown as { proof: string | { data: number[] } }
  const bytes = typeof proof === 'string' ? Buffer.from(proof, 'base64') : Buffer.from(proof.data)
  return { ...request, anchors: { canary: { ...canary, proof: bytes }, recordKeyId } }
}
