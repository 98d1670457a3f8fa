import { randomUUID } from 'node:crypto'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { SignatureError } from '../sigv4/signature-error.ts'
import { SigningKeys } from '../sigv4/signing-keys.ts'
import {
  type VerificationContext,
  type VerifiedSignature,
  verifySignature,
} from '../sigv4/verify-signature.ts'
import { DeadlineWatch } from '../xks/deadline-watch.ts'
import type { ExternalKeyStore, XksDirectory } from '../xks/external-key-store.ts'
import type { XksOperation, XksProxy, XksRequest, XksTrail } from '../xks/proxy.ts'
import { parseUriPath } from '../xks/uri-path.ts'
import { XksError } from '../xks/xks-error.ts'
import { newXksTrail, type XksEntry, type XksScribe } from '../xks/xks-journal.ts'
import type { AdmissionLimit } from './admission-limit.ts'
import type { Clock } from './clock.ts'
import type { WireError } from './face-dialect.ts'
import type { FaceLogger } from './face-logger.ts'
import type { XksFaceMetrics } from './face-metrics.ts'
import { HttpRefusal } from './http-refusal.ts'
import { type ReplayMode, ReplayWatch } from './replay-watch.ts'
import { ReplyWriter } from './reply.ts'
import { BodyBudget, bodyPassed, readBody } from './request-body.ts'
import { factsOf } from './request-facts.ts'
import { FailureLog, SparseLog, type WarningLogger } from './sparse-log.ts'
import { StoreQuotas } from './store-quotas.ts'
import { UnderWay } from './under-way.ts'
import { recordFailure } from './unrecorded-error.ts'
import { XKS_DIALECT, xksWireError } from './xks-wire-error.ts'

/** The largest legal request has 65,535 bytes of AAD and 16,384 of plaintext or ciphertext: 108 KiB in Base64. */
const MAX_BODY_BYTES = 128 * 1024
/** AT-H18: what all requests on their way in may hold before anybody knows whose they are. */
const UNAUTHENTICATED_BYTES = 64 * 1024 * 1024
const CLOSE = { Connection: 'close' } as const

export interface XksFaceParts {
  readonly proxy: XksProxy
  readonly directory: XksDirectory
  readonly journal: XksScribe
  readonly clock: Clock & {
    /** Milliseconds that never go back. */
    uptime(): number
  }
  readonly logger: FaceLogger & WarningLogger
  readonly metrics?: XksFaceMetrics
  /** What becomes of a request that is repeated; it is counted and served unless said otherwise. */
  readonly replays?: ReplayMode
  /** Load shedding; without it everybody may wait for the tokens. */
  readonly admission?: AdmissionLimit
  /** Bytes of bodies that may be on their way in at once, all together. */
  readonly unauthenticatedBytes?: number
  /** So long after a request was whole its record must be written, or its answer is that it was late; absent: whenever it is. */
  readonly recordedWithinMs?: number
}

export interface XksFaceHandler {
  /** For `createXksServer`. */
  readonly handle: RequestListener
  /** Resolves when no request is being worked on, those of clients that have gone included: each still writes its record. */
  idle(): Promise<void>
}

/**
 * The XKS Proxy API v1 up to the proxy itself: path, method, body, signature and quota, in this order of errors (XKS 1.9, steps
 * 3 to 7). ARCH-D19: no express here, as `parseUriPath` is the whole routing.
 */
export function createXksFace(parts: XksFaceParts): XksFaceHandler {
  const face = new XksFace(parts)
  return {
    handle: (request, response) => void face.serve(request, response),
    idle: () => face.idle(),
  }
}

/** What the path of a request names. */
interface Target {
  readonly operation: XksOperation
  readonly store: ExternalKeyStore
  readonly externalKeyId: string | undefined
}

/** One request on its way through the steps. */
class Exchange {
  readonly facts: ReturnType<typeof factsOf>
  readonly startedAt = performance.now()
  readonly request: IncomingMessage
  operation: XksOperation | undefined

  constructor(request: IncomingMessage, clock: Clock) {
    this.request = request
    this.facts = factsOf(request, randomUUID(), clock.now())
  }
}

/** An authenticated request as the proxy sees it, with its place at the tokens once it has one. */
class Call implements XksRequest {
  readonly operation: XksOperation
  readonly store: ExternalKeyStore
  readonly externalKeyId: string | undefined
  readonly region: string
  readonly contentType: string | undefined
  readonly contentEncoding: string | undefined
  readonly body: Buffer
  readonly #admission: AdmissionLimit | undefined
  #enteredAt: number | undefined
  #lateWork: Promise<unknown> | undefined

  constructor(
    { operation, store, externalKeyId }: Target,
    region: string,
    { rawHeaders }: IncomingMessage,
    body: Buffer,
    admission: AdmissionLimit | undefined,
  ) {
    this.operation = operation
    this.store = store
    this.externalKeyId = externalKeyId
    this.region = region
    this.contentType = headerValue(rawHeaders, 'content-type')
    this.contentEncoding = headerValue(rawHeaders, 'content-encoding')
    this.body = body
    this.#admission = admission
  }

  admit(): void {
    if (!this.#admission || this.#enteredAt !== undefined) return
    this.#enteredAt = this.#admission.tryEnter()
    if (this.#enteredAt === undefined) {
      throw overloaded()
    }
  }

  goesOn(work: Promise<unknown>): void {
    this.#lateWork = work
  }

  /** XKS X-09: a token that works for nobody any more is no less busy. */
  leave(): void {
    if (this.#enteredAt === undefined) return
    const enteredAt = this.#enteredAt
    const free = (): void => this.#admission?.leave(enteredAt)
    if (this.#lateWork) void this.#lateWork.then(free, free)
    else free()
  }
}

class XksFace {
  readonly #parts: XksFaceParts
  readonly #replies: ReplyWriter
  readonly #quotas: StoreQuotas
  readonly #refusals: SparseLog
  readonly #failures: FailureLog
  readonly #bodies: BodyBudget
  readonly #replays: ReplayWatch
  readonly #signingKeys = new SigningKeys()
  /** A store is a new object after each change, and what was made for the old one goes with it. */
  readonly #contexts = new WeakMap<ExternalKeyStore, VerificationContext>()
  readonly #underWay = new UnderWay()
  readonly #recordedInTime: DeadlineWatch
  /** Connections that have carried an authenticated request. */
  readonly #known = new WeakSet<Socket>()

  constructor(parts: XksFaceParts) {
    const uptime = (): number => parts.clock.uptime()
    this.#parts = parts
    this.#replies = new ReplyWriter(parts.clock, XKS_DIALECT)
    this.#quotas = new StoreQuotas(uptime)
    this.#refusals = new SparseLog(parts.logger, uptime)
    this.#failures = new FailureLog(parts.logger, uptime)
    this.#recordedInTime = new DeadlineWatch(parts.recordedWithinMs ?? Number.POSITIVE_INFINITY)
    this.#bodies = new BodyBudget(parts.unauthenticatedBytes ?? UNAUTHENTICATED_BYTES, overloaded)
    const { logger, metrics, replays: mode = 'count' } = parts
    this.#replays = new ReplayWatch({ mode, logger, uptime, metrics })
  }

  idle(): Promise<void> {
    return this.#underWay.idle()
  }

  /** Answers one request. Never rejects. */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const exchange = new Exchange(request, this.#parts.clock)
    this.#underWay.begin()
    try {
      const target = this.#targetOf(request)
      exchange.operation = target.operation
      if (request.method !== 'POST') throw new HttpRefusal('NOT_POST') // XKS T-07
      const body = await readBody(request, MAX_BODY_BYTES, this.#bodies)
      try {
        this.#answer(response, exchange, await this.#replyTo(request, body, target, exchange))
      } finally {
        body.fill(0) // AT-K09
      }
    } catch (error) {
      request.resume() // whoever still sends a body must hear the answer
      this.#answerError(response, exchange, error)
    } finally {
      this.#underWay.end()
    }
  }

  #targetOf({ url = '' }: IncomingMessage): Target {
    const path = parseUriPath(url)
    const store = path && this.#parts.directory.findStore(path.uriPathPrefix)
    if (!store) throw new XksError('InvalidUriPathException')
    return { operation: path.operation, store, externalKeyId: path.externalKeyId }
  }

  #replyTo(
    request: IncomingMessage,
    body: Buffer,
    target: Target,
    exchange: Exchange,
  ): Promise<string> {
    const signature = this.#authenticate(request, body, target.store, exchange)
    this.#replays.note(signature, target.store.name, exchange.facts)
    this.#known.add(request.socket)
    return this.#performRecorded(request, body, target, signature, exchange)
  }

  #authenticate(
    request: IncomingMessage,
    body: Buffer,
    store: ExternalKeyStore,
    { facts }: Exchange,
  ): VerifiedSignature {
    const { method = '', url: rawTarget = '', rawHeaders } = request
    try {
      return verifySignature({ method, rawTarget, rawHeaders, body }, this.#contextOf(store))
    } catch (error) {
      if (error instanceof SignatureError) {
        const { requestId, sourceIp } = facts
        const reason = error.code // the operator may know what the caller may not
        this.#refusals.warn('signature refused', { store: store.name, reason, requestId, sourceIp })
      }
      throw error
    }
  }

  #contextOf(store: ExternalKeyStore): VerificationContext {
    const known = this.#contexts.get(store)
    if (known) return known
    const { clock } = this.#parts
    const context: VerificationContext = {
      service: 'kms-xks-proxy', // XKS A-02
      findSecret: (accessKeyId) => this.#findSecret(accessKeyId, store),
      now: () => clock.now(),
      regions: (region) => store.regions.length === 0 || store.regions.includes(region), // XKS A-03
      signingKeys: this.#signingKeys,
    }
    this.#contexts.set(store, context)
    return context
  }

  /** XKS A-13: the credentials of another store are nobody's here. */
  #findSecret(accessKeyId: string, store: ExternalKeyStore) {
    const credential = this.#parts.directory.findCredential(accessKeyId)
    return credential?.storeName === store.name ? credential.secretAccessKey : undefined
  }

  /** ARCH-D14: whatever becomes of the request, its record is written before anybody hears of it. */
  async #performRecorded(
    request: IncomingMessage,
    body: Buffer,
    target: Target,
    { region, accessKeyId }: VerifiedSignature,
    { facts, startedAt }: Exchange,
  ): Promise<string> {
    const { journal, proxy, admission } = this.#parts
    const { operation, store, externalKeyId } = target
    const trail = newXksTrail()
    const wholeAt = performance.now()
    const entry = (): XksEntry => ({
      operation,
      storeName: store.name,
      externalKeyId,
      region,
      accessKeyId,
      facts,
      trail: copyOf(trail),
      processingMicroseconds: Math.round((performance.now() - startedAt) * 1000),
    })
    const call = new Call(target, region, request, body, admission)
    let reply: string
    try {
      this.#assertWithinQuota(target)
      reply = await proxy.perform(call, trail)
    } catch (cause) {
      const { type: code, message } = xksWireError(cause, facts.requestId)
      const failed: XksEntry = { ...entry(), error: { code, message } }
      const recorded = recordFailure(cause, () => journal.record(failed))
      await this.#inTime(wholeAt, entry(), recorded)
      throw cause
    } finally {
      call.leave()
    }
    const done = entry()
    await this.#inTime(wholeAt, done, journal.record(done))
    return reply
  }

  /**
   * XKS X-11: AWS KMS does not wait for a disk that hangs. What was made stays here, for its record is not written (ARCH-D14); that
   * is written when it can be, tells what the token did, and is waited for before the end.
   */
  #inTime(wholeAt: number, { operation, facts }: XksEntry, recorded: Promise<void>): Promise<void> {
    const late = (): Error => {
      this.#underWay.begin()
      const { requestId } = facts
      recorded
        .catch((error: unknown) =>
          this.#failures.note({ requestId, operation, code: 'RecordLost', error }),
        )
        .finally(() => this.#underWay.end())
      const cause = new Error('its audit record was not written in time')
      return new XksError('DependencyTimeoutException', undefined, { cause })
    }
    return this.#recordedInTime.within(recorded, late, wholeAt)
  }

  /** Health counts for nothing: it answers from memory, and a busy store is not a sick one. */
  #assertWithinQuota({ operation, store }: Target): void {
    if (operation === 'GetHealthStatus' || this.#quotas.take(store)) return
    throw new XksError(
      'ThrottlingException',
      'The external key store has used up its requests per second.',
    )
  }

  #answer(response: ServerResponse, { facts, operation, startedAt }: Exchange, body: string): void {
    this.#replies.send(response, { status: 200, requestId: facts.requestId, body })
    this.#parts.metrics?.observe(operation ?? 'none', 'ok', secondsSince(startedAt))
  }

  #answerError(response: ServerResponse, exchange: Exchange, error: unknown): void {
    const { facts, operation, startedAt } = exchange
    const { requestId } = facts
    const answer = xksWireError(error, requestId)
    if (this.#known.has(exchange.request.socket)) {
      this.#replies.send(response, { ...answer, requestId })
    } else this.#dismiss(response, exchange, answer)
    this.#parts.metrics?.observe(operation ?? 'none', answer.type, secondsSince(startedAt))
    if (OURS.has(answer.type)) {
      this.#failures.note({ requestId, operation, code: answer.type, error })
    }
  }

  /**
   * AT-H17: whoever has proved nothing yet keeps no connection. AWS KMS keeps those that it has, also while one credential takes the
   * place of another (XKS A-08): they have carried a good request before.
   */
  #dismiss(response: ServerResponse, { request, facts }: Exchange, answer: WireError): void {
    if (response.headersSent || response.destroyed) return
    const reply = { ...answer, requestId: facts.requestId, extra: CLOSE }
    response.writeHead(answer.status, this.#replies.headers(reply))
    response.write(answer.body)
    // A connection that is closed in the middle of a body is reset, and the answer is lost with it.
    void bodyPassed(request, MAX_BODY_BYTES).then(() => response.end())
  }
}

function overloaded(): XksError {
  return new XksError('ThrottlingException', 'The proxy is overloaded.')
}

/** Work that outlives its answer may still write into the trail, and the record may still be on its way. */
function copyOf(trail: XksTrail): XksTrail {
  const { requestMetadata } = trail
  return { ...trail, requestMetadata: requestMetadata && { ...requestMetadata } }
}

/** Errors that are not the caller's. */
const OURS: ReadonlySet<string> = new Set(['InternalException', 'DependencyTimeoutException'])

/** As the sender wrote it: `request.headers` would show only the first of several. */
function headerValue(rawHeaders: readonly string[], name: string): string | undefined {
  let value: string | undefined
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const given = rawHeaders[i] as string
    if (given.length !== name.length || given.toLowerCase() !== name) continue
    if (value !== undefined) return 'repeated'
    value = rawHeaders[i + 1] as string
  }
  return value
}

function secondsSince(startedAt: number): number {
  return (performance.now() - startedAt) / 1000
}
