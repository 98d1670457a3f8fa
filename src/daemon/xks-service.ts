import type { Server } from 'node:http'
import type { AuditLog } from '../audit/audit-log.ts'
import { AdmissionLimit } from '../http/admission-limit.ts'
import type { XksFaceMetrics } from '../http/face-metrics.ts'
import { createXksFace, type XksFaceHandler } from '../http/xks-face.ts'
import { createXksServer } from '../http/xks-server.ts'
import type { XksTls } from '../http/xks-tls.ts'
import { systemClock } from '../kms/clock.ts'
import type { EncryptionBudget } from '../kms/encryption-budget.ts'
import { TokenHealth } from '../token/token-health.ts'
import { createXksProxy } from '../xks/create-xks-proxy.ts'
import type { HealthReport } from '../xks/key-manager-health.ts'
import type { ProxyIdentity } from '../xks/wire.ts'
import type { Storage } from '../storage/storage.ts'
import { atMost } from './change-gate.ts'
import { ConfiguredXks, type PrepareFace } from './configured-xks.ts'
import type { Installation } from './installation.ts'
import { formatEndpoint } from './listen-address.ts'
import { PRODUCT } from './product.ts'
import { drain, listenOn, listenOnSocket } from './tcp-server.ts'
import type { TokenConnection } from './token-connection.ts'
import type { XksConfig } from './xks-config.ts'
import { openXksTls, prepareXksTls } from './xks-tls-files.ts'

/** AWS KMS gives a call 250 ms, the way to us and back included (XKS 1.12): what takes longer than this is answered as late. */
const DEADLINE_MS = 180
const RECORDED_WITHIN_MS = 200
const CATCH_UP_MS = 80

export interface XksServiceParts {
  readonly installation: Installation
  readonly token: TokenConnection
  readonly audit: AuditLog
  readonly budget: Pick<EncryptionBudget, 'spend'>
  readonly metrics: XksFaceMetrics
}

/** The XKS face of a daemon whose configuration asks for one: stores, proxy, health of the token, and the server in front. */
export class XksService {
  readonly #parts: XksServiceParts
  readonly #config: XksConfig
  readonly #stores: ConfiguredXks
  readonly #health: TokenHealth
  readonly #face: XksFaceHandler
  readonly #tls: XksTls | undefined
  readonly #server: Server

  /** Reads certificate, key and client CA. Throws ConfigError. */
  constructor(parts: XksServiceParts, config: XksConfig) {
    const { installation, token, audit, budget, metrics } = parts
    const { logger } = installation
    this.#parts = parts
    this.#config = config
    this.#stores = new ConfiguredXks(installation, budget)
    this.#health = new TokenHealth(token.pool)
    this.#face = createXksFace({
      proxy: createXksProxy({
        custody: token.custody,
        health: reportOf(this.#health),
        spend: this.#stores.spend,
        identity: identityOf(config, token),
        catchUp: () => catchUp(installation.storage),
        deadlineMs: DEADLINE_MS,
      }),
      directory: this.#stores.directory,
      journal: audit.xks,
      recordedWithinMs: RECORDED_WITHIN_MS,
      clock: systemClock,
      logger,
      metrics,
      replays: config.replays,
      admission: new AdmissionLimit(() => systemClock.uptime()),
    })
    this.#tls = openXksTls(config, { logger })
    this.#server = createXksServer(this.#face.handle, {
      clock: systemClock,
      keepAliveTimeoutMs: config.keepAliveSeconds * 1000,
      ...(this.#tls && { tls: this.#tls }),
    })
  }

  /** Before storage is read-only: what the file declares goes into it. Throws ConfigError, StorageError. */
  declareStores(): Promise<void> {
    return this.#stores.start()
  }

  /** Serves from now on, whatever the token does (XKS H-12). Answers where. Throws ConfigError. */
  async listen(): Promise<string> {
    const { listen } = this.#config
    this.#health.start()
    this.#stores.listenForReload(this.#prepareReload())
    if ('path' in listen) {
      await listenOnSocket(this.#server, listen.path, 'xks.listen')
      return `unix:${listen.path}`
    }
    const address = await listenOn(this.#server, listen, 'xks.listen')
    return formatEndpoint(address, this.#tls ? 'https' : 'http')
  }

  /** Answers what is in hand. */
  async stop(patienceMs: number): Promise<void> {
    this.#parts.installation.onReload = undefined
    this.#health.stop()
    await drain(this.#server, patienceMs)
    await this.#face.idle()
  }

  #prepareReload(): PrepareFace | undefined {
    const tls = this.#tls
    return tls && ((next) => prepareXksTls(tls, this.#config, next))
  }
}

/** XKS X-16: storage that is cut off, or older than the token, does not know what it does not have. */
async function catchUp(storage: Storage): Promise<'same' | 'newer' | 'unsure'> {
  const { version } = storage.snapshot
  if (!storage.isConnected || storage.readOnlyReason !== undefined) return 'unsure'
  let caughtUp = false
  const refreshed = storage.refresh().then(() => {
    caughtUp = true
  })
  await atMost(refreshed, CATCH_UP_MS)
  if (!caughtUp) return 'unsure'
  return storage.snapshot.version === version ? 'same' : 'newer'
}

function reportOf(health: TokenHealth): HealthReport {
  return {
    keyManagers() {
      const { id, model, status: healthStatus } = health.report()
      return [{ id, model, healthStatus }]
    },
  }
}

function identityOf({ proxyFleetSize }: XksConfig, { pool }: TokenConnection): ProxyIdentity {
  return {
    xksProxyFleetSize: proxyFleetSize,
    xksProxyVendor: PRODUCT.name,
    xksProxyModel: `${PRODUCT.name} ${PRODUCT.version}`,
    ekmVendor: pool.options.profile.vendor,
  }
}
