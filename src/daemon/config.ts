import { existsSync, readFileSync, statSync } from 'node:fs'
import { isAbsolute, join, resolve } from 'node:path'
import type { RequestQuotaOptions } from '../kms/request-quotas.ts'
import { type ResourceQuotas, resourceQuotas } from '../kms/resource-quotas.ts'
import type { Sensitive } from '../bytes/sensitive.ts'
import { CONFIG_SCHEMA, type ConfigFile } from './config-schema.ts'
import { ConfigError } from './config-error.ts'
import { formatEndpoint, isLoopback, type ListenAddress } from './listen-address.ts'
import type { PinSource } from './pin-source.ts'
import { codeOf, octal } from './private-file.ts'
import { defaultStateDirectory, type StateDirectory, stateDirectory } from './state-directory.ts'
import { resolveXks, type XksConfig } from './xks-config.ts'
import { parseYamlDocument } from './yaml-document.ts'

/** What the daemon runs with: every default filled in, every path absolute. */
export interface Config {
  /** The file it was read from; undefined when nothing but defaults is used. */
  readonly file: string | undefined
  readonly state: StateDirectory
  readonly region: string
  readonly accountId: string
  readonly kms: {
    readonly listen: ListenAddress
    readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined
  }
  /** Undefined: no XKS face. */
  readonly xks: XksConfig | undefined
  readonly ops: { readonly listen: ListenAddress }
  readonly token: TokenConfig
  readonly hotLanes: number | undefined
  readonly databasePath: string
  /** PostgreSQL in the place of the SQLite file. */
  readonly databaseUrl: Sensitive<string> | undefined
  readonly audit: { readonly directory: string; readonly durability: 'write' | 'fsync' }
  /** Undefined: requests are not counted. */
  readonly requestQuotas: RequestQuotaOptions | undefined
  readonly resourceQuotas: ResourceQuotas
  readonly log: {
    readonly level: 'error' | 'warn' | 'info' | 'debug'
    readonly file: string | undefined
  }
  readonly seedFile: string | undefined
}

export interface TokenConfig {
  /** Our own SoftHSM2 token in the state directory, which `init` makes. */
  readonly embedded: boolean
  /** Name of a profile in native-config/, or the path of a profile file. */
  readonly profile: string
  /** Absent: the profile's. */
  readonly modulePath: string | undefined
  readonly find: { readonly serial: string } | { readonly label: string }
  readonly pin: PinSource
  readonly libraryParameters: string | undefined
  /** Added to the environment of the lanes, such as SOFTHSM2_CONF. */
  readonly environment: Readonly<Record<string, string>>
}

export const EMBEDDED_TOKEN_LABEL = 'hsm-bridge'

export interface ConfigChoice {
  /** `--config`: this file and no other. */
  readonly file?: string | undefined
  /** `--state`: wins over the file's own option. */
  readonly stateDirectory?: string | undefined
}

/**
 * The configuration of this machine: the file named, else HSM_BRIDGE_CONFIG, else config.yaml in the state directory, else
 * defaults alone. Throws ConfigError with `file:line:column option: message`.
 */
export function loadConfig(choice: ConfigChoice, env: NodeJS.ProcessEnv): Config {
  const chosenState = resolve(choice.stateDirectory ?? defaultStateDirectory(env))
  const named = choice.file ?? env['HSM_BRIDGE_CONFIG']
  const standing = stateDirectory(chosenState).configFile
  const file = named ?? (existsSync(standing) ? standing : undefined)
  const written = file === undefined ? CONFIG_SCHEMA.parse({}) : readConfigFile(file)
  const told = choice.stateDirectory ?? env['HSM_BRIDGE_STATE']
  const path = told === undefined ? (written.stateDirectory ?? chosenState) : resolve(told)
  return resolveConfig(written, file, stateDirectory(path))
}

function readConfigFile(file: string): ConfigFile {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError('', `cannot read the configuration ${file} (${codeOf(error)})`, {
      cause: error,
    })
  }
  const config = parseYamlDocument(text, file, CONFIG_SCHEMA)
  assertNobodyElseDecides(file, config)
  return config
}

const MAY_HOLD_SECRETS = ['pinCommand', 'libraryParameters', 'environment'] as const

/** AT-K04: whoever writes this file chooses our module; whoever reads some of its options may learn secrets. */
function assertNobodyElseDecides(file: string, config: ConfigFile): void {
  const { mode } = statSync(file)
  if ((mode & 0o022) !== 0) {
    throw new ConfigError(
      '',
      `${file} can be changed by group or others (mode ${octal(mode)}); run: chmod go-w ${file}`,
    )
  }
  const inToken = MAY_HOLD_SECRETS.find((name) => config.token?.[name] !== undefined)
  const secret = inToken ? `token.${inToken}` : holdsPassword(config) ? 'storage.url' : undefined
  if (secret && (mode & 0o044) !== 0) {
    throw new ConfigError(
      secret,
      `may hold a secret, and ${file} can be read by group or others (mode ${octal(mode)}); run: chmod 600 ${file}`,
    )
  }
}

function holdsPassword({ storage: { url } }: ConfigFile): boolean {
  if (!url) return false
  const { password, searchParams } = new URL(url.reveal())
  return password !== '' || searchParams.has('password')
}

function resolveConfig(
  written: ConfigFile,
  file: string | undefined,
  state: StateDirectory,
): Config {
  assertSocketPathFits(state)
  assertFaceIsPrivateOrTls(written.kms)
  return {
    file,
    state,
    region: written.region,
    accountId: written.account,
    kms: { listen: written.kms.listen, tls: written.kms.tls },
    xks: written.xks && resolveXks(written.xks),
    ops: written.ops,
    token: written.token ? configuredToken(written.token) : embeddedToken(state),
    hotLanes: written.lanes.hot,
    databasePath: written.storage.path ?? state.database,
    databaseUrl: written.storage.url,
    audit: {
      directory: written.audit.directory ?? state.auditDirectory,
      durability: written.audit.durability,
    },
    requestQuotas: written.quotas.requests.enforce ? written.quotas.requests : undefined,
    resourceQuotas: resourceQuotas(written.quotas.resources),
    log: { level: written.log.level, file: written.log.file },
    seedFile: written.seed,
  }
}

function configuredToken(written: NonNullable<ConfigFile['token']>): TokenConfig {
  return {
    embedded: false,
    profile: written.profile,
    modulePath: written.modulePath,
    find:
      written.serial === undefined ? { label: written.label ?? '' } : { serial: written.serial },
    pin: pinSource(written),
    libraryParameters: written.libraryParameters,
    environment: written.environment ?? {},
  }
}

function pinSource(written: NonNullable<ConfigFile['token']>): PinSource {
  if (written.pinFile !== undefined) return { kind: 'file', path: written.pinFile }
  if (written.pinCommand) return { kind: 'command', command: written.pinCommand }
  return { kind: 'credential', name: written.pinCredential ?? '' }
}

function embeddedToken(state: StateDirectory): TokenConfig {
  return {
    embedded: true,
    profile: 'softhsm2',
    modulePath: undefined,
    find: { label: EMBEDDED_TOKEN_LABEL },
    pin: { kind: 'file', path: state.softHsm.pinFile },
    libraryParameters: undefined,
    environment: { SOFTHSM2_CONF: state.softHsm.conf },
  }
}

const MAX_SOCKET_PATH_BYTES = 107 // sun_path of Linux, with its closing zero

function assertSocketPathFits(state: StateDirectory): void {
  if (!isAbsolute(state.path)) throw new ConfigError('stateDirectory', 'must be an absolute path')
  if (Buffer.byteLength(state.adminSocket) > MAX_SOCKET_PATH_BYTES) {
    throw new ConfigError(
      'stateDirectory',
      `${state.path} is too long: a unix socket in it would pass ${MAX_SOCKET_PATH_BYTES} bytes`,
    )
  }
}

/** ARCH-D18: credentials are signed, plaintexts are not hidden: they leave this machine under TLS or not at all. */
function assertFaceIsPrivateOrTls(kms: ConfigFile['kms']): void {
  if (isLoopback(kms.listen) || kms.tls) return
  throw new ConfigError(
    'kms.listen',
    `${formatEndpoint(kms.listen, 'http')} can be reached from other machines without TLS; set kms.tls, or listen on 127.0.0.1`,
  )
}

/** Directory of the profiles that come with hsm-bridge. */
export const PROFILE_DIRECTORY = join(import.meta.dirname, '..', '..', 'native-config')

/** The file of a profile named in the configuration: a bare name is one of ours. */
export function profilePath(profile: string): string {
  if (isAbsolute(profile)) return profile
  if (!/^[a-z0-9][a-z0-9-]*$/.test(profile)) {
    throw new ConfigError('token.profile', 'must be a name from native-config/ or an absolute path')
  }
  return join(PROFILE_DIRECTORY, `${profile}.json`)
}
