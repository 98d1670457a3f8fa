import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseVendorProfile } from '../pkcs11/parse-vendor-profile.ts'
import type { VendorProfile } from '../pkcs11/vendor-profile.ts'
import type { LoginLatch } from '../token/login-latch.ts'
import { TokenCustody } from '../token/token-custody.ts'
import { TokenPool } from '../token/token-pool.ts'
import { type Config, profilePath } from './config.ts'
import { ConfigError } from './config-error.ts'
import type { Logger } from './log.ts'
import { readPin } from './pin-source.ts'
import { codeOf, octal } from './private-file.ts'
import { listTokens } from './token-listing.ts'

/** The configured token with its pool of lanes; nothing is started before `pool.start`. */
export interface TokenConnection {
  readonly serial: string
  readonly modulePath: string
  readonly profile: VendorProfile
  readonly pool: TokenPool
  readonly custody: TokenCustody
  /** Token files that lanes found truncated and put back since this process began (FM-F23). */
  readonly restoredFiles: readonly string[]
  /** Why no login is tried with the PIN in hand, or undefined when one may be (ARCH-D4). */
  loginRefusal(): string | undefined
  /** Whether the PIN's source now gives another PIN than the lanes were told. */
  pinHasChanged(): Promise<boolean>
}

/** What can be said of the token without its PIN. */
export interface TokenPlace {
  readonly modulePath: string
  readonly profile: VendorProfile
  /** The whole environment of every process that loads the module. */
  readonly environment: Readonly<Record<string, string>>
}

/** Reads the profile and checks the module's file. Throws ConfigError. */
export function tokenPlace(config: Config, env: NodeJS.ProcessEnv): TokenPlace {
  const profile = readProfile(config)
  const modulePath = config.token.modulePath ?? profile.modulePath
  assertModuleIsSafe(modulePath)
  return { modulePath, profile, environment: laneEnvironment(config, env) }
}

/** Finds the token's serial and reads the PIN; touches the module only when the token is named by its label. Throws ConfigError. */
export async function connectToken(
  config: Config,
  place: TokenPlace,
  latch: LoginLatch,
  logger: Logger,
  env: NodeJS.ProcessEnv,
): Promise<TokenConnection> {
  const serial = await findSerial(config, place)
  const { libraryParameters } = config.token
  const restoredFiles: string[] = []
  const pin = await readPin(config.token.pin, env)
  const pool = new TokenPool({
    modulePath: place.modulePath,
    ...(libraryParameters === undefined ? {} : { libraryParameters }),
    tokenSerial: serial,
    pin,
    profile: place.profile,
    environment: place.environment,
    guardDirectory: join(config.state.path, 'guard'),
    latch,
    log: (level, message, facts) => {
      const restored = namesIn(facts['restoredFiles'])
      restoredFiles.push(...restored)
      logger[restored.length > 0 ? 'error' : level](message, facts)
    },
  })
  const { modulePath, profile } = place
  return {
    serial,
    modulePath,
    profile,
    pool,
    custody: new TokenCustody(pool),
    restoredFiles,
    loginRefusal: () => latch.refusal(serial, pin),
    pinHasChanged: async () => (await readPin(config.token.pin, env)).reveal() !== pin.reveal(),
  }
}

/** A lane that starts tells which files it put back (StartReply). */
function namesIn(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : []
}

function readProfile(config: Config): VendorProfile {
  const path = profilePath(config.token.profile)
  let profile: VendorProfile
  try {
    profile = parseVendorProfile(JSON.parse(readFileSync(path, 'utf8')))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new ConfigError('token.profile', `${path}: ${reason}`, { cause: error })
  }
  return config.hotLanes === undefined ? profile : { ...profile, hotLanes: config.hotLanes }
}

/** AT-K05: code that others can exchange would get the PIN. A link is followed first: what counts is the file behind it. */
function assertModuleIsSafe(modulePath: string): void {
  if (!existsSync(modulePath)) {
    throw new ConfigError(
      'token.modulePath',
      `${modulePath} does not exist; install the module, or name its place`,
    )
  }
  const file = realpathSync(modulePath)
  for (const path of [file, dirname(file)]) {
    const { mode } = statSync(path)
    if ((mode & 0o002) !== 0) {
      throw new ConfigError(
        'token.modulePath',
        `${path} can be changed by everybody (mode ${octal(mode)})`,
      )
    }
  }
}

const INHERITED = ['PATH', 'LANG', 'TZ'] as const

/** Lanes inherit nothing that could change what they load (LD_PRELOAD, NODE_OPTIONS): AT-K05, AT-K03. */
function laneEnvironment(config: Config, env: NodeJS.ProcessEnv): Readonly<Record<string, string>> {
  const inherited = INHERITED.flatMap((name) =>
    env[name] === undefined ? [] : [[name, env[name]]],
  )
  return { ...Object.fromEntries(inherited), ...config.token.environment }
}

async function findSerial(config: Config, place: TokenPlace): Promise<string> {
  const { find } = config.token
  if ('serial' in find) return find.serial
  if (config.token.embedded) return readEmbeddedSerial(config)
  const tokens = await tokensOf(config, place)
  const named = tokens.filter((token) => token.label === find.label)
  const [only] = named
  if (only && named.length === 1) return only.serial
  throw new ConfigError(
    'token.label',
    `${named.length} tokens are called ${find.label}; name the serial instead`,
  )
}

/** The tokens that the configured module shows now. */
export function tokensOf(config: Config, place: TokenPlace): ReturnType<typeof listTokens> {
  const { libraryParameters } = config.token
  return listTokens(
    {
      modulePath: place.modulePath,
      profile: place.profile,
      ...(libraryParameters === undefined ? {} : { libraryParameters }),
    },
    place.environment,
  )
}

/** Written by `init` beside the token: a start need not ask the module, which takes 0.6 s at 10,000 keys. */
export function embeddedSerialPath(config: Config): string {
  return join(config.state.softHsm.directory, 'serial')
}

function readEmbeddedSerial(config: Config): string {
  try {
    return readFileSync(embeddedSerialPath(config), 'utf8').trim()
  } catch (error) {
    throw new ConfigError(
      'token',
      `there is no token in ${config.state.softHsm.directory} (${codeOf(error)}); run: hsm-bridge init`,
      { cause: error },
    )
  }
}
