import { existsSync, lstatSync, statfsSync } from 'node:fs'
import { connect } from 'node:net'
import type { Sensitive } from '../bytes/sensitive.ts'
import type { TokenInfo } from '../pkcs11/pkcs11-module.ts'
import { describePostgres } from '../storage/open-storage.ts'
import type { Config } from './config.ts'
import type { Installation, Surroundings } from './installation.ts'
import type { ListenAddress } from './listen-address.ts'
import { privacyProblem } from './private-file.ts'
import { findLockHolder } from './state-lock.ts'
import { type TokenPlace, tokenPlace, tokensOf } from './token-connection.ts'
import { judgeOwner } from './token-owner.ts'

/** One thing that was looked at. */
export interface Check {
  readonly name: string
  readonly passed: boolean
  readonly detail: string
  /** What to do when it failed. */
  readonly nextStep?: string
}

const OLDEST_NODE = [22, 19] as const
const LEAST_FREE_BYTES = 512 * 2 ** 20
const CLOCK_TOLERANCE_MS = 5 * 60_000
const CONNECT_MS = 1_000

/** A check that fails with the message of whatever its work throws. */
export async function check(
  name: string,
  nextStep: string,
  work: () => Promise<string> | string,
): Promise<Check> {
  try {
    return { name, passed: true, detail: await work() }
  } catch (error) {
    return {
      name,
      passed: false,
      detail: error instanceof Error ? error.message : String(error),
      nextStep,
    }
  }
}

/** What can be seen without opening the installation: it may be broken, or a daemon may have it. */
export async function checkSurroundings({ config, env }: Surroundings): Promise<readonly Check[]> {
  const running = findLockHolder(config.state.lock)
  return [
    await check('node', 'start hsm-bridge by scripts/hsm-bridge, which finds the right node', () =>
      nodeVersion(process.versions.node),
    ),
    await check(
      'configuration',
      '',
      () => config.file ?? 'no file: defaults, and our own SoftHSM2 token',
    ),
    await check('file modes', 'run the command named', () => privateFiles(config)),
    await check('disk space', 'make room: changes are refused when the disk is full', () =>
      freeSpace(config.state.path),
    ),
    ...(config.databaseUrl ? [await checkServer(config.databaseUrl)] : []),
    await check('daemon', '', () =>
      running ? `${running.purpose} runs as process ${running.pid}` : 'none runs',
    ),
    await checkPort('kms.listen', config.kms.listen, running !== undefined),
    await checkPort('ops.listen', config.ops.listen, running !== undefined),
    ...(await checkModule(config, env)),
  ]
}

/** What only the process that has the installation can see. Every look at the token is made now. */
export async function checkInstallation(installation: Installation): Promise<readonly Check[]> {
  const { storage } = installation
  const { snapshot } = storage
  const list = async () => (await installation.token()).custody.list()
  return [
    await check('database', 'restore a backup: hsm-bridge restore --from <file>', async () => {
      const problems = await storage.checkIntegrity()
      if (problems.length > 0) throw new Error(problems.join('; '))
      const { version, lineage } = storage.snapshot
      return `sound, version ${version}, token write ${lineage}; ${await storage.describe()}`
    }),
    await check('login latch', 'correct the PIN, or run: hsm-bridge token unlatch', async () => {
      const refusal = (await installation.connection()).loginRefusal()
      if (refusal !== undefined) throw new Error(refusal)
      return 'open'
    }),
    await check(
      'canary',
      'look at the log; is the token mounted, the network there, the PIN right?',
      async () => {
        await (await installation.token()).custody.health()
        return 'encrypted and decrypted in the token just now'
      },
    ),
    await check(
      'token files',
      'keep what was put back, and ask why a process died in a login',
      async () => {
        const { restoredFiles } = await installation.connection()
        if (restoredFiles.length > 0)
          throw new Error(`put back from our copy: ${restoredFiles.join(', ')}`)
        return 'nothing had to be put back'
      },
    ),
    await check('owner and lineage', 'hsm-bridge reconcile', async () => {
      const shown = await list()
      await storage.refresh()
      const verdict = judgeOwner(storage.snapshot, shown)
      if (verdict.kind !== 'ours') throw new Error(verdict.reason)
      return `the token is ours (instance ${snapshot.instanceId})`
    }),
    await check('changes', 'see owner and lineage', () => {
      if (storage.readOnlyReason !== undefined) throw new Error(storage.readOnlyReason)
      return 'allowed'
    }),
    await check('clock', 'if the clock is right: hsm-bridge clock accept', () =>
      clockAgrees(Date.now(), snapshot.heartbeat),
    ),
    await check('principals', 'hsm-bridge principal create', () => {
      const count = [...snapshot.allPrincipals()].length
      if (count === 0) throw new Error('nobody can sign a request')
      return `${count} access key(s)`
    }),
  ]
}

export function nodeVersion(version: string): string {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor, oldestMinor] = OLDEST_NODE
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    throw new Error(`${version} is older than ${OLDEST_NODE.join('.')}`)
  }
  return version
}

/** FM-F26: a clock ahead of the counted time holds deletions back; one behind it makes signatures fail. */
export function clockAgrees(now: number, heartbeat: number): string {
  if (heartbeat === 0) return 'no daemon has run yet'
  const aheadMs = now - heartbeat
  if (aheadMs < -CLOCK_TOLERANCE_MS) {
    throw new Error(`the clock is ${seconds(-aheadMs)} s behind the time that was counted`)
  }
  return aheadMs > CLOCK_TOLERANCE_MS
    ? `the last heartbeat was ${seconds(aheadMs)} s ago`
    : 'agrees with the time that was counted'
}

function seconds(ms: number): number {
  return Math.round(ms / 1000)
}

function privateFiles(config: Config): string {
  const { state } = config
  const ours = [
    state.path,
    config.databasePath,
    config.audit.directory,
    state.hostKey,
    state.adminSocket,
    state.awsCredentials,
    ...(config.token.embedded ? [state.softHsm.directory, state.softHsm.pinFile] : []),
  ].filter((path) => existsSync(path) && !lstatSync(path).isSymbolicLink())
  const problems = ours.flatMap((path) => privacyProblem(path) ?? [])
  if (problems.length > 0) throw new Error(problems.join('; '))
  return `${ours.length} files and directories are closed to others`
}

function freeSpace(path: string): string {
  const { bavail, bsize } = statfsSync(path)
  const free = bavail * bsize
  const text = `${Math.round(free / 2 ** 20)} MiB free`
  if (free < LEAST_FREE_BYTES) throw new Error(text)
  return text
}

async function checkPort(option: string, address: ListenAddress, running: boolean): Promise<Check> {
  const where = `${address.host}:${address.port}`
  if (address.port === 0) return { name: option, passed: true, detail: 'the system chooses a port' }
  return await check(
    option,
    running ? 'look at the log' : 'stop what listens there, or choose another port',
    async () => {
      const answers = await connects(address)
      if (running && !answers) throw new Error(`the daemon runs, but nobody answers at ${where}`)
      if (!running && answers) throw new Error(`somebody else listens at ${where}`)
      return running ? `answers at ${where}` : `${where} is free`
    },
  )
}

function connects({ host, port }: ListenAddress): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: CONNECT_MS })
    const end = (answer: boolean) => () => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', end(true)).once('error', end(false)).once('timeout', end(false))
  })
}

function checkServer(url: Sensitive<string>): Promise<Check> {
  const nextStep = 'start the database, or correct storage.url; daemons go on by themselves'
  return check('database server', nextStep, () => describePostgres(url.reveal()))
}

async function checkModule(config: Config, env: NodeJS.ProcessEnv): Promise<readonly Check[]> {
  let place: TokenPlace | undefined
  let tokens: readonly TokenInfo[] | undefined
  const profile = await check('profile', 'correct token.profile and token.modulePath', () => {
    place = tokenPlace(config, env)
    return `${place.profile.name}, ${place.modulePath}`
  })
  const module = await check(
    'module',
    'is the library installed, and its own configuration right?',
    async () => {
      if (!place) throw new Error('there is no profile')
      tokens = await tokensOf(config, place)
      return `loads, shows ${tokens.length} token(s)`
    },
  )
  const token = await check(
    'token',
    'compare token.serial or token.label with: pkcs11-tool --list-slots',
    () => describeToken(config, tokens ?? []),
  )
  return [profile, module, token]
}

/** FM-R4: the flags tell before a login whether one more wrong PIN would lock the token. */
export function describeToken(config: Pick<Config, 'token'>, tokens: readonly TokenInfo[]): string {
  const { find } = config.token
  const named = tokens.filter((it) =>
    'serial' in find ? it.serial === find.serial : it.label === find.label,
  )
  const [token] = named
  if (!token || named.length > 1) {
    const name = 'serial' in find ? `serial ${find.serial}` : `label ${find.label}`
    throw new Error(`${named.length} tokens have the ${name}`)
  }
  if (token.userPinLocked) throw new Error(`the PIN of token ${token.serial} is locked`)
  if (token.userPinFinalTry)
    throw new Error(`one more wrong PIN locks token ${token.serial}; no login is tried`)
  const low = token.userPinCountLow ? ', wrong PINs were tried' : ''
  return `serial ${token.serial}, label ${token.label}${low}`
}
