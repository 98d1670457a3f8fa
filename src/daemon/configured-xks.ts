import type { EncryptionBudget } from '../kms/encryption-budget.ts'
import type { ExternalKey } from '../xks/external-key.ts'
import type { ExternalKeyStore } from '../xks/external-key-store.ts'
import { type Config, loadConfig } from './config.ts'
import { ConfigError } from './config-error.ts'
import type { Installation } from './installation.ts'
import type { ReloadReport } from './reload-report.ts'
import type { XksConfig } from './xks-config.ts'
import { spendEncryptions, StoredXksDirectory } from './xks-directory.ts'
import {
  applyDeclaredStores,
  declarationEntry,
  readDeclaredStores,
  type XksStoreWish,
} from './xks-store.ts'

const RELOAD = 'ReloadConfiguration'

/**
 * Reads certificate, key and CA of the XKS face anew and checks them, without effect; the answer puts them into use and must not
 * fail. Throws ConfigError.
 */
export type PrepareFace = (next: XksConfig) => () => void

/** External key stores as the file and storage have them: what the XKS face asks, and how it is read again. */
export class ConfiguredXks {
  readonly directory: StoredXksDirectory
  readonly spend: (store: ExternalKeyStore, key: ExternalKey) => Promise<void> | undefined
  readonly #installation: Installation
  #reloads: Promise<unknown> = Promise.resolve()

  constructor(installation: Installation, budget: Pick<EncryptionBudget, 'spend'>) {
    const { storage, seal, logger } = installation
    this.#installation = installation
    this.directory = new StoredXksDirectory(storage, seal, logger)
    this.spend = spendEncryptions(storage, budget)
  }

  /** Puts the declared stores into storage; before it is read-only. Throws ConfigError, StorageError. */
  async start(): Promise<void> {
    const { config, logger } = this.#installation
    const report = await this.#apply('DeclareExternalKeyStores', readDeclaredStores(config.xks))
    if (report.made.length + report.changed.length > 0)
      logger.info('external key stores declared', { ...report })
  }

  /** Reloads from now on whenever somebody asks for it. */
  listenForReload(prepareFace?: PrepareFace): void {
    this.#installation.onReload = () => this.reload(prepareFace)
  }

  /**
   * Reads the configuration file again and takes over what can change while the daemon runs: all of it, or nothing when anything
   * in it is wrong (XKS Z-06). Throws ConfigError with file, line and column.
   */
  reload(prepareFace?: PrepareFace): Promise<ReloadReport> {
    const turn = this.#reloads.then(() => this.#reload(prepareFace))
    this.#reloads = turn.catch(() => undefined)
    return turn
  }

  #apply(eventName: string, stores: readonly XksStoreWish[]) {
    const { storage, administration } = this.#installation
    return administration.recorded((note) =>
      applyDeclaredStores(storage, stores, (draft, applied) =>
        note(draft, declarationEntry(eventName, applied, stores)),
      ),
    )
  }

  async #reload(prepareFace: PrepareFace | undefined): Promise<ReloadReport> {
    const { config, env, logger, administration } = this.#installation
    const next = loadConfig({ file: config.file, stateDirectory: config.state.path }, env)
    if (config.xks && !next.xks)
      throw new ConfigError('xks', 'the XKS face cannot be taken away while the daemon runs')
    const stores = readDeclaredStores(next.xks)
    const useFace = next.xks && prepareFace?.(next.xks)
    const applied = await this.#apply(RELOAD, stores)
    if (applied.made.length + applied.changed.length === 0)
      await administration.record(declarationEntry(RELOAD, applied, stores)) // its TLS may be another one
    useFace?.()
    this.#installation.reread = next
    const report = { ...applied, afterRestart: differences(config, next) }
    logger.info('configuration read again', { ...report })
    return report
  }
}

/** JSON shows no secret, so a changed password of the database is not seen. */
function differences(running: Config, next: Config): string[] {
  const { xks: before, ...rest } = running
  const { xks: after, ...nextRest } = next
  return [
    ...differing('', rest, nextRest),
    ...(before && after ? differing('xks.', withoutReloaded(before), withoutReloaded(after)) : []),
    ...(!before && after ? ['xks'] : []),
  ]
}

function withoutReloaded(config: XksConfig): object {
  const { tls, clientCertificates: _reloaded, stores: _too, ...rest } = config
  return { ...rest, tls: tls !== undefined }
}

function differing(prefix: string, one: object, other: object): string[] {
  const values = new Map<string, unknown>(Object.entries(one))
  return Object.entries(other)
    .filter(([name, value]) => JSON.stringify(values.get(name)) !== JSON.stringify(value))
    .map(([name]) => `${prefix}${name}`)
}
