import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Storage } from '../storage/storage.ts'
import { type LatchBoard, LoginLatch } from '../token/login-latch.ts'
import { Administration } from './administration.ts'
import { findAnchors } from './anchors.ts'
import type { Config } from './config.ts'
import { ConfigError } from './config-error.ts'
import { findHostSeal, type HostSeal } from './host-seal.ts'
import { openConfiguredStorage, type Patience } from './configured-storage.ts'
import type { Logger } from './log.ts'
import { assertPrivateDirectory } from './private-file.ts'
import type { ReloadReport } from './reload-report.ts'
import { type StateLock, takeStateLock } from './state-lock.ts'
import { connectToken, type TokenConnection, tokenPlace } from './token-connection.ts'

/** What everything here is opened with. */
export interface Surroundings {
  readonly config: Config
  readonly logger: Logger
  readonly env: NodeJS.ProcessEnv
}

/**
 * One state directory, opened by one process: its storage, its host key, its login latch, and its token once somebody needs
 * it. The daemon has one for its whole life; a command without a daemon has one for as long as it runs.
 */
export class Installation {
  readonly config: Config
  readonly logger: Logger
  readonly env: NodeJS.ProcessEnv
  readonly storage: Storage
  readonly seal: HostSeal
  readonly latch: LoginLatch
  readonly administration: Administration
  /** Intents that an earlier process left: nothing of this one is behind them. */
  readonly leftoverIntentIds: ReadonlySet<string>
  /** Reads the configuration again; set by the daemon, whose configuration it is. */
  onReload: (() => Promise<ReloadReport>) | undefined
  /** The configuration file as it was read again, of which what a reload takes over holds now. */
  reread: Config | undefined
  readonly #lock: StateLock
  #connection: Promise<TokenConnection> | undefined
  #started: Promise<TokenConnection> | undefined

  private constructor(around: Surroundings, lock: StateLock, storage: Storage, seal: HostSeal) {
    this.config = around.config
    this.logger = around.logger
    this.env = around.env
    this.storage = storage
    this.seal = seal
    this.administration = new Administration(around.logger)
    this.latch = new LoginLatch(
      join(around.config.state.path, 'latch'),
      seal.deriveKey('hsm-bridge login latch'),
      storage.isShared ? latchBoard(storage) : undefined,
    )
    this.leftoverIntentIds = new Set(storage.snapshot.intents().map(({ intentId }) => intentId))
    this.#lock = lock
  }

  /**
   * Opens what `init` has made; `prepare` runs under the lock before, and `patience` waits for a database that does not answer.
   * Throws StateLocked while another process has it, ConfigError when there is nothing.
   */
  static async open(
    around: Surroundings,
    purpose: string,
    { prepare = async () => {}, patience }: OpenOptions = {},
  ): Promise<Installation> {
    const { config, env } = around
    assertStateDirectory(config)
    const lock = takeStateLock(config.state.lock, purpose)
    try {
      await prepare()
      const seal = findHostSeal(config.state.hostKey, env)
      if (!seal)
        throw new ConfigError('stateDirectory', 'there is no host key; run: hsm-bridge init')
      const opened: { installation?: Installation } = {}
      const heardOfMaterial = () => void opened.installation?.noteChangeElsewhere()
      const storage = await openConfiguredStorage(around, heardOfMaterial, patience)
      assertSealOpens(seal, storage)
      opened.installation = new Installation(around, lock, storage, seal)
      return opened.installation
    } catch (error) {
      lock.release()
      throw error
    }
  }

  /** Another daemon made a key in the token: lanes look for it before somebody asks. */
  async noteChangeElsewhere(): Promise<void> {
    const connection = await this.#connection?.catch(() => undefined)
    connection?.pool.noteChange()
  }

  /** The configured token; nothing is started, no login is made. */
  connection(): Promise<TokenConnection> {
    this.#connection ??= this.newConnection()
    return this.#connection
  }

  /** A pool apart from the one that serves, for looking into a token without anchors; the caller stops it. */
  newConnection(): Promise<TokenConnection> {
    const { config, latch, logger, env } = this
    return connectToken(config, tokenPlace(config, env), latch, logger, env)
  }

  /** The token with its lanes running. One login attempt per PIN, whoever asks (ARCH-D4). */
  token(): Promise<TokenConnection> {
    this.#started ??= this.#startToken()
    return this.#started
  }

  async #startToken(): Promise<TokenConnection> {
    const connection = await this.connection()
    const anchors = findAnchors(this.storage, connection.serial)
    if (!anchors) {
      throw new ConfigError(
        'token',
        `the token ${connection.serial} has no canary of ours; run: hsm-bridge init (new token) or rebuild (lost database)`,
      )
    }
    try {
      await this.#logInInTurn(() => connection.pool.start(anchors))
    } catch (error) {
      this.#started = Promise.resolve(connection) // the pool goes on trying; who asks later gets its present state
      throw error
    }
    return connection
  }

  /** One daemon of a fleet tries the PIN first; the others hear how that ended before they try (ARCH-D4). */
  async #logInInTurn(start: () => Promise<void>): Promise<void> {
    const { storage, latch, logger } = this
    let begun = false
    try {
      await storage.withLoginLock(async () => {
        begun = true
        try {
          await start()
        } finally {
          await latch.told().catch((error) => logger.error('other daemons not told', { error }))
        }
      })
    } catch (error) {
      if (begun) throw error
      logger.warn('other daemons could not be asked whether this PIN was refused', { error })
      await start()
    }
  }

  /** Lanes end first, then storage, then the next process may come. */
  async close(): Promise<void> {
    const connection = await this.#connection?.catch(() => undefined)
    await connection?.pool.stop()
    await this.storage.close()
    this.#lock.release()
  }
}

export interface OpenOptions {
  readonly prepare?: () => Promise<void>
  readonly patience?: Patience | undefined
}

/** Whether `init` has been here, or began to. */
export function isInitialised(config: Config): boolean {
  return existsSync(config.databaseUrl ? config.state.hostKey : config.databasePath)
}

function latchBoard(storage: Storage): LatchBoard {
  return {
    find: (serial) => storage.snapshot.findLoginLatch(serial),
    put: (serial, latch) =>
      storage.change((draft) => draft.putLoginLatch(serial, latch), { evenReadOnly: true }),
  }
}

/** A daemon of a fleet whose host key is another one would know nobody, and would seal what the others cannot open. */
function assertSealOpens(seal: HostSeal, storage: Storage): void {
  if (!storage.isShared) return
  const [principal] = storage.snapshot.allPrincipals()
  if (principal) seal.open(principal.sealedSecret, principal.accessKeyId)
}

function assertStateDirectory(config: Config): void {
  if (!existsSync(config.state.path)) {
    throw new ConfigError(
      'stateDirectory',
      `${config.state.path} does not exist; run: hsm-bridge init`,
    )
  }
  assertPrivateDirectory(config.state.path, 'stateDirectory')
}
