import { readFileSync } from 'node:fs'
import type { Server } from 'node:http'
import { type AuditLog, createAuditLog } from '../audit/audit-log.ts'
import { createFaceServer } from '../http/face-server.ts'
import { createKmsFace, type KmsFaceHandler } from '../http/kms-face.ts'
import type { Readiness } from '../http/ops-server.ts'
import { systemClock } from '../kms/clock.ts'
import { createKms, type KmsService } from '../kms/create-kms.ts'
import { AdminServer } from './admin-server.ts'
import { findAnchors } from './anchors.ts'
import { atMost, type ChangesNow, COMPARING_MS, holdChanges } from './change-gate.ts'
import { performCommand } from './commands/index.ts'
import { ConfigError } from './config-error.ts'
import type { Patience } from './configured-storage.ts'
import { initialise } from './initialise.ts'
import { Installation, isInitialised, type Surroundings } from './installation.ts'
import { formatEndpoint } from './listen-address.ts'
import { errorFacts } from './log.ts'
import { Metrics } from './metrics.ts'
import { OpsFace } from './ops-face.ts'
import { StoredPrincipals } from './principal-directory.ts'
import { codeOf, readPrivateFile } from './private-file.ts'
import { Scheduler } from './scheduler.ts'
import { readSeed, type Seed, seedKeys, seedPrincipals } from './seed.ts'
import { DAEMON_PURPOSE } from './state-lock.ts'
import { drain, listenOn } from './tcp-server.ts'
import type { TokenConnection } from './token-connection.ts'
import { checkOwner } from './token-owner.ts'
import { XksService } from './xks-service.ts'

export interface Endpoints {
  readonly kms: string
  /** Absent where the configuration asks for no XKS face. */
  readonly xks?: string
  readonly ops: string
  readonly admin: string
}

/** The faces wait this long for the token; then they answer without it, while it is tried again and again. */
const TOKEN_PATIENCE_MS = 5_000
const SEED_PATIENCE_MS = 60_000
const DRAIN_MS = 10_000
const MINUTE_MS = 60_000
const COMPARE_AGAIN_MS = 1_000
const NOT_COMPARED = 'this database has not been compared with the token yet'

/** The running product: one installation, its faces, its scheduled work. */
export class Daemon {
  readonly #installation: Installation
  readonly #token: TokenConnection
  readonly #audit: AuditLog
  readonly #metrics: Metrics
  readonly #kms: KmsService
  readonly #scheduler: Scheduler
  readonly #seed: Seed | undefined
  readonly #faces: Server[] = []
  readonly #failure = Promise.withResolvers<never>()
  #kmsFace: KmsFaceHandler | undefined
  readonly #xks: XksService | undefined
  readonly #ops: OpsFace
  #admin: AdminServer | undefined
  #stopping = false

  private constructor(
    installation: Installation,
    token: TokenConnection,
    audit: AuditLog,
    ops: OpsFace,
  ) {
    const { storage, logger, config } = installation
    this.#installation = installation
    this.#token = token
    this.#audit = audit
    this.#ops = ops
    installation.administration.deliver = (line) => audit.deliver(line)
    this.#metrics = new Metrics(
      () => token.pool.status(),
      () => storage.isConnected,
      () => this.#changesNow(),
    )
    this.#scheduler = new Scheduler(logger)
    this.#seed = config.seedFile === undefined ? undefined : readSeed(config.seedFile)
    this.#kms = createKms({
      storage,
      custody: token.custody,
      scribe: audit,
      requestQuotas: config.requestQuotas,
      resourceQuotas: config.resourceQuotas,
      notify: ({ level, message, ...facts }) => {
        logger[level](message, facts)
        if (level !== 'info') this.#metrics.noteNotice()
      },
    })
    this.#xks =
      config.xks &&
      new XksService(
        { installation, token, audit, budget: this.#kms.budget, metrics: this.#metrics.xks },
        config.xks,
      )
    this.#failure.promise.catch(() => undefined) // whoever runs the daemon waits for it; tests need not
  }

  /**
   * Opens the installation (the embedded one is made on a first start), starts the token behind, and listens. Resolves when the
   * faces answer; a database server that does not is waited for until `stop` is aborted. Throws ConfigError, StateLocked.
   */
  static async start(
    around: Surroundings,
    stop: AbortSignal = new AbortController().signal,
  ): Promise<{ daemon: Daemon; endpoints: Endpoints }> {
    const ops = new OpsFace(around.config.ops.listen)
    const installation = await openBehind(ops, around, stop)
    let daemon: Daemon | undefined
    try {
      const { audit: options } = around.config
      const audit = await createAuditLog({
        ...options,
        clock: systemClock,
        outbox: installation.storage.outbox,
        onError: (error) => around.logger.error('audit', { error }),
      })
      daemon = new Daemon(installation, await installation.connection(), audit, ops)
      return { daemon, endpoints: await daemon.#begin() }
    } catch (error) {
      await (daemon?.stop() ?? Promise.all([installation.close(), ops.close()]))
      throw error
    }
  }

  /** Rejects when the daemon must not go on. */
  get failed(): Promise<never> {
    return this.#failure.promise
  }

  /** FM-F48: not ready, no new connections, requests in hand answered, lanes ended, storage closed. */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.#admin?.close()
    const faces = this.#faces.map((face) => drain(face, DRAIN_MS))
    await Promise.all([...faces, this.#xks?.stop(DRAIN_MS)])
    await this.#kmsFace?.idle()
    await this.#scheduler.stop()
    await this.#kms.close()
    await this.#ops.close()
    await this.#audit.close()
    await this.#installation.close()
  }

  async #begin(): Promise<Endpoints> {
    const { storage } = this.#installation
    if (this.#seed) await seedPrincipals(this.#installation, this.#seed)
    await this.#xks?.declareStores()
    storage.setReadOnly(NOT_COMPARED)
    await this.#kms.heartbeat.beat()
    const started = this.#startToken()
    const compared = this.#compareWithToken()
    await Promise.race([this.failed, this.#waitForToken(started, compared)])
    const endpoints = await this.#listen(compared)
    this.#scheduler.add({ name: 'heartbeat', everyMs: MINUTE_MS, run: () => this.#everyMinute() })
    return endpoints
  }

  /** Resolves also when the token does not come up: its pool goes on trying by itself. */
  async #startToken(): Promise<void> {
    try {
      await this.#installation.token()
    } catch (error) {
      if (error instanceof ConfigError) this.#failure.reject(error)
      this.#installation.logger.error('the token does not serve yet', { error })
    }
  }

  async #waitForToken(started: Promise<void>, compared: Promise<void>): Promise<void> {
    await atMost(started, TOKEN_PATIENCE_MS)
    const serves = this.#token.pool.status().inRotation > 0
    if (this.#seed && serves) await atMost(compared, SEED_PATIENCE_MS) // whoever seeds keys expects them to be there
  }

  /** Until it is known whether this database is older than the token, nothing may be changed (FM-F30). */
  async #compareWithToken(): Promise<void> {
    const { storage, logger } = this.#installation
    let lastTrouble = ''
    while (!this.#stopping) {
      try {
        const verdict = await checkOwner(storage, this.#token)
        if (verdict.kind === 'foreign')
          this.#failure.reject(new ConfigError('token', verdict.reason))
        if (verdict.kind === 'ours') return await this.#openForChanges()
        storage.setReadOnly(verdict.reason)
        logger.error('READ-ONLY', { reason: verdict.reason })
        return
      } catch (error) {
        const trouble = error instanceof Error ? error.message : String(error)
        if (trouble !== lastTrouble) {
          logger.warn('the token cannot be compared with this database yet', { error })
        }
        lastTrouble = trouble
        await new Promise((resolve) => setTimeout(resolve, COMPARE_AGAIN_MS).unref())
      }
    }
  }

  async #openForChanges(): Promise<void> {
    this.#installation.storage.setReadOnly(undefined)
    await this.#doWhatIsDue() // also what an earlier process began (FM-F25)
    await this.#reserveAhead()
    if (this.#seed) await seedKeys(this.#installation, this.#kms, this.#seed)
  }

  async #listen(compared: Promise<void>): Promise<Endpoints> {
    const { config, logger, storage, seal } = this.#installation
    const face = createKmsFace({
      kms: holdChanges(this.#kms, compared),
      principals: new StoredPrincipals(storage, seal),
      audit: this.#audit,
      clock: systemClock,
      logger,
      metrics: this.#metrics.kms,
    })
    this.#kmsFace = face
    const tls = config.kms.tls && readTls(config.kms.tls)
    const server = createFaceServer(face.handle, { clock: systemClock, ...(tls && { tls }) })
    this.#faces.push(server)
    this.#ops.tellOf({
      readiness: () => this.#readiness(),
      metrics: () => this.#metrics.text(),
    })
    const handler = async (name: string, parameters: unknown) => {
      await this.#whileComparing(compared)
      return await performCommand(this.#installation, name, parameters)
    }
    this.#admin = await AdminServer.listen(config.state.adminSocket, handler, logger)
    const kms = await listenOn(server, config.kms.listen, 'kms.listen')
    return {
      kms: formatEndpoint(kms, tls ? 'https' : 'http'),
      ...(this.#xks && { xks: await this.#xks.listen() }),
      ops: await this.#ops.listen(),
      admin: config.state.adminSocket,
    }
  }

  /** Right after a start a command would find everything read-only for the moment that the comparison takes. */
  async #whileComparing(compared: Promise<void>): Promise<void> {
    const isComparing = this.#changesNow() === 'waiting' && this.#token.pool.status().inRotation > 0
    if (isComparing) await atMost(compared, COMPARING_MS)
  }

  /**
   * A real use of the canary in the token, now. Uses are what a balancer sends here: a daemon whose changes wait or are refused is
   * ready for those, and says the rest (FM-F30).
   */
  async #readiness(): Promise<Readiness> {
    const reasons = await this.#troubles()
    this.#metrics.noteReadiness(reasons.length === 0)
    if (reasons.length > 0) return { ready: false, reasons }
    const { readOnlyReason = '' } = this.#installation.storage
    const says: Record<ChangesNow, readonly string[]> = {
      open: [],
      waiting: [`changes wait: ${readOnlyReason}`],
      refused: [`read-only: ${readOnlyReason}`],
    }
    return { ready: true, reasons: says[this.#changesNow()] }
  }

  #changesNow(): ChangesNow {
    const { readOnlyReason } = this.#installation.storage
    if (readOnlyReason === undefined) return 'open'
    return readOnlyReason === NOT_COMPARED ? 'waiting' : 'refused'
  }

  async #troubles(): Promise<string[]> {
    if (this.#stopping) return ['stopping']
    try {
      await this.#token.custody.health()
      return []
    } catch (error) {
      this.#installation.logger.warn('not ready', { error: errorFacts(error) })
      return [`token: ${this.#token.pool.status().state}`]
    }
  }

  async #everyMinute(): Promise<void> {
    const beat = await this.#kms.heartbeat.beat()
    if (beat.held) {
      this.#installation.logger.warn(
        'the clock is ahead of the time that was counted; deletions and rotations wait',
        {
          aheadMs: beat.aheadMs,
          next: 'if the clock is right, run: hsm-bridge clock accept',
        },
      )
    }
    await this.#audit.deliverOutbox(MINUTE_MS)
    await this.#doWhatIsDue()
    await this.#kms.lastUses.flush()
    await this.#reserveAhead()
  }

  /** A file is there when this process is; a database server may go away. */
  async #reserveAhead(): Promise<void> {
    if (this.#installation.storage.isShared) await this.#kms.reserveAhead()
  }

  async #doWhatIsDue(): Promise<void> {
    await this.#destroyDueKeys()
    await this.#rotateDueKeys()
  }

  async #rotateDueKeys(): Promise<void> {
    const { rotated, held, failed } = await this.#kms.rotation.rotateDueKeys()
    const { logger } = this.#installation
    if (rotated.length > 0) logger.info('keys rotated', { keys: rotated })
    if (held.length > 0) logger.warn('rotations wait for the clock', { keys: held })
    if (failed.length > 0) logger.error('rotations failed', { keys: failed })
  }

  async #destroyDueKeys(): Promise<void> {
    const { destroyed, held, failed } = await this.#kms.deletion.destroyDueKeys()
    const { logger } = this.#installation
    if (destroyed.length > 0) logger.warn('keys destroyed', { keys: destroyed })
    if (held.length > 0) logger.warn('deletions wait for the clock', { keys: held })
    if (failed.length > 0) logger.error('deletions failed', { keys: failed })
  }
}

/** A database server may take its time (FM-F47): the ops port then says already now what is waited for. */
async function openBehind(
  ops: OpsFace,
  around: Surroundings,
  signal: AbortSignal,
): Promise<Installation> {
  if (!around.config.databaseUrl) return await openInitialised(around)
  await ops.listen()
  try {
    const onWait = (reason: string): void => {
      ops.startingReason = reason
    }
    return await openInitialised(around, { signal, onWait })
  } catch (error) {
    await ops.close()
    throw error
  }
}

/** A first start with the embedded token needs no `init`; somebody's HSM is only touched after one. */
async function openInitialised(around: Surroundings, patience?: Patience): Promise<Installation> {
  const { config } = around
  if (!isInitialised(config)) {
    if (!config.token.embedded) {
      throw new ConfigError('stateDirectory', `${config.state.path} is empty; run: hsm-bridge init`)
    }
    await initialise(around, patience)
  }
  const installation = await Installation.open(around, DAEMON_PURPOSE, { patience })
  if (!config.token.embedded || (await hasAnchors(installation))) return installation
  await installation.close()
  await initialise(around, patience) // an earlier one was interrupted
  return await Installation.open(around, DAEMON_PURPOSE, { patience })
}

async function hasAnchors(installation: Installation): Promise<boolean> {
  try {
    const { serial } = await installation.connection()
    return findAnchors(installation.storage, serial) !== undefined
  } catch (error) {
    await installation.close()
    throw error
  }
}

function readTls({ certFile, keyFile }: { certFile: string; keyFile: string }) {
  const cert = readCertificate(certFile)
  const key = readPrivateFile(keyFile, 'kms.tls.keyFile') // AT-K04
  return { cert, key, minVersion: 'TLSv1.2' } as const
}

function readCertificate(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new ConfigError('kms.tls.certFile', `cannot read ${file} (${codeOf(error)})`, {
      cause: error,
    })
  }
}
