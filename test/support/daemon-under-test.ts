import { type ChildProcess, execFile, spawn } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { KMSClient } from '@aws-sdk/client-kms'
import { stringify } from 'yaml'
import { softHsmModulePath } from '../../softhsm/softhsm-conf.ts'
import type { VendorProfile } from '../../src/pkcs11/vendor-profile.ts'
import { type FaultModule, faultModule } from './fault-module.ts'
import type { KmsEndpoint } from './kms-request.ts'
import { makeSoftHsmToken, type SoftHsmToken } from './softhsm.ts'

const LAUNCHER = join(import.meta.dirname, '..', '..', 'scripts', 'hsm-bridge')
const NATIVE_CONFIG = join(import.meta.dirname, '..', '..', 'native-config')
const READY_WITHIN_MS = 30_000

/** For profiles: where a test is not about deadlines, a busy machine must not answer for the token. */
export const PATIENT = {
  deadlinesMs: { use: 1000, useTotal: 2000, find: 5000, write: 30_000 },
} as const

type Configuration = Readonly<Record<string, unknown>>

export interface DaemonOptions {
  /** Put the fault module between lanes and token. */
  readonly faults?: boolean | { readonly record: boolean }
  readonly withoutGcm?: boolean
  /** Path of a profile file instead of the token's own. */
  readonly profilePath?: string
  /** Members on top of the token's own profile. */
  readonly profile?: Partial<VendorProfile>
  /** Configuration members on top of ours; a function is given the daemon's own directory. */
  readonly config?: Configuration | ((directory: string) => Configuration)
  readonly region?: string
  /** What is executed in the place of our launcher. */
  readonly launcher?: string
  /** Folder with files of a state directory to begin with. */
  readonly stateFrom?: string
  /** A token that exists, instead of a fresh one; whoever made it removes it. */
  readonly token?: SoftHsmToken
  /** PostgreSQL in the place of a file. */
  readonly storageUrl?: string
  /** Another daemon whose token, host key and administrator this one shares; both need one `storageUrl`. */
  readonly beside?: DaemonUnderTest
}

/** Who calls: the administrator in the configured region, unless said otherwise. */
export interface CallerUnderTest {
  readonly accessKeyId?: string
  readonly secretAccessKey?: string
  readonly region?: string
}

export interface PrincipalUnderTest {
  readonly arn: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export interface Endpoints {
  readonly kms: string
  /** Where the configuration asks for it. */
  readonly xks?: string
  readonly ops: string
}

/** What /metrics says of the lanes. */
export interface PoolUnderMetrics {
  readonly state: string
  readonly inRotation: number
  readonly spare: number
  readonly cold: number
  /** Since the start of the daemon. */
  readonly replaced: number
}

/** A real daemon, started by the launcher as a user would, on a fresh SoftHSM2 token, in directories of its own, on free ports. */
export class DaemonUnderTest {
  readonly directory: string
  readonly state: string
  readonly token: SoftHsmToken
  readonly region: string
  readonly faults: FaultModule
  readonly configPath: string
  readonly #launcher: string
  /** Everything that any run of the daemon printed. */
  readonly logPath: string
  #process: ChildProcess | undefined
  #endpoints: Endpoints | undefined

  private constructor(directory: string, token: SoftHsmToken, options: DaemonOptions) {
    this.directory = directory
    this.token = token
    this.region = options.region ?? 'eu-west-1'
    this.#launcher = options.launcher ?? LAUNCHER
    this.state = join(directory, 'state')
    this.configPath = join(directory, 'config.yaml')
    this.logPath = join(directory, 'daemon.log')
    const record = typeof options.faults === 'object' ? options.faults.record : true
    if (options.stateFrom !== undefined) copyState(options.stateFrom, this.state)
    if (options.beside) copySecrets(options.beside.state, this.state)
    this.faults = faultModule(softHsmModulePath(), token.dir, { record })
    writeFileSync(this.configPath, stringify(this.#configuration(options)), { mode: 0o600 })
  }

  /** Token, configuration and `hsm-bridge init`; nothing serves yet. */
  static async prepare(options: DaemonOptions = {}): Promise<DaemonUnderTest> {
    const { withoutGcm = false, beside } = options
    const shared = options.token ?? beside?.token
    const token = shared ? { ...shared, remove: () => {} } : await makeSoftHsmToken({ withoutGcm })
    const directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-daemon-'))
    const daemon = new DaemonUnderTest(directory, token, options)
    try {
      await daemon.cli('init')
    } catch (error) {
      await daemon.stop()
      throw error
    }
    return daemon
  }

  static async start(options: DaemonOptions = {}): Promise<DaemonUnderTest> {
    const daemon = await DaemonUnderTest.prepare(options)
    await daemon.serve()
    return daemon
  }

  /** Starts `serve` and waits until /readyz says yes. */
  async serve(): Promise<void> {
    await this.launch()
    await this.ready()
  }

  /** Starts `serve` in a process group of its own and waits for its line with the endpoints. */
  async launch(): Promise<void> {
    const child = spawn(this.#launcher, ['serve', '--config', this.configPath, '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: this.environment(),
      detached: true,
    })
    this.#process = child
    child.stderr?.on('data', (chunk: Buffer) => appendFileSync(this.logPath, chunk))
    this.#endpoints = await new Promise<Endpoints>((resolve, reject) => {
      let printed = ''
      child.stdout?.on('data', (chunk: Buffer) => {
        appendFileSync(this.logPath, chunk)
        printed += chunk.toString('utf8')
        const line = printed.split('\n').find((text) => text.includes('"ready"'))
        if (line !== undefined) resolve(JSON.parse(line) as Endpoints)
      })
      child.once('exit', (code, signal) =>
        reject(new Error(`serve ended (${signal ?? code}); its log:\n${this.log()}`)),
      )
    })
  }

  async ready(): Promise<void> {
    const deadline = Date.now() + READY_WITHIN_MS
    for (;;) {
      const answer = await fetch(`${this.ops}/readyz`).catch(() => undefined)
      if (answer?.ok) return
      if (Date.now() > deadline) throw new Error(`not ready; its log:\n${this.log()}`)
      await pause(20)
    }
  }

  /** Runs the command line tool on this daemon's configuration; resolves with what it printed. Rejects on an exit code but 0. */
  async cli(...args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(
      this.#launcher,
      [...args, '--config', this.configPath],
      {
        env: this.environment(),
        maxBuffer: 64 * 1024 * 1024,
      },
    )
    return stdout
  }

  get kms(): string {
    return this.#running().kms
  }

  get xks(): string {
    const { xks } = this.#endpoints ?? {}
    if (xks === undefined) throw new Error('the daemon serves no XKS face')
    return xks
  }

  get ops(): string {
    return this.#running().ops
  }

  get pid(): number {
    const pid = this.#process?.pid
    if (pid === undefined) throw new Error('the daemon does not run')
    return pid
  }

  /** The administrator that `init` made. */
  get credentials(): { readonly accessKeyId: string; readonly secretAccessKey: string } {
    const text = readFileSync(join(this.state, 'aws-credentials'), 'utf8')
    const value = (name: string) => new RegExp(`${name}\\s*=\\s*(\\S+)`).exec(text)?.[1] ?? ''
    return {
      accessKeyId: value('aws_access_key_id'),
      secretAccessKey: value('aws_secret_access_key'),
    }
  }

  /** AWS's own client. It does not retry, so that a test sees every answer. */
  client(caller: CallerUnderTest = {}): KMSClient {
    const { accessKeyId, secretAccessKey, region } = this.endpoint(caller)
    const credentials = { accessKeyId, secretAccessKey }
    return new KMSClient({ endpoint: this.kms, region, credentials, maxAttempts: 1 })
  }

  /** Where `callKms` finds the daemon, and as whom it calls. */
  endpoint(caller: CallerUnderTest = {}): KmsEndpoint {
    const { hostname, port } = new URL(this.kms)
    const administrator = this.credentials
    return {
      host: hostname,
      port: Number(port),
      region: caller.region ?? this.region,
      accessKeyId: caller.accessKeyId ?? administrator.accessKeyId,
      secretAccessKey: caller.secretAccessKey ?? administrator.secretAccessKey,
    }
  }

  /** A user made by the command line tool; without a policy only key policies give it permission. */
  async createPrincipal(
    name: string,
    { account = '123456789012', policy }: { account?: string; policy?: object } = {},
  ): Promise<PrincipalUnderTest> {
    const args = ['principal', 'create', '--account', account, '--name', name, '--json']
    if (policy === undefined) return JSON.parse(await this.cli(...args)) as PrincipalUnderTest
    const policyFile = join(this.directory, `policy-of-${name}.json`)
    writeFileSync(policyFile, JSON.stringify(policy))
    return JSON.parse(await this.cli(...args, '--policy-file', policyFile)) as PrincipalUnderTest
  }

  /** What an AWS client program needs in its environment to be the administrator. */
  clientEnvironment(): Record<string, string> {
    return {
      PATH: process.env['PATH'] ?? '',
      HOME: this.directory,
      AWS_CONFIG_FILE: join(this.state, 'aws-config'),
      AWS_SHARED_CREDENTIALS_FILE: join(this.state, 'aws-credentials'),
      AWS_PROFILE: 'hsm-bridge',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_PAGER: '',
    }
  }

  log(): string {
    try {
      return readFileSync(this.logPath, 'utf8')
    } catch {
      return ''
    }
  }

  /** Ends the daemon as an operator would, and waits. */
  async terminate(): Promise<void> {
    await this.#end((pid) => process.kill(pid, 'SIGTERM'))
  }

  /** SIGKILL of the front process alone: its lanes are left to finish by themselves. */
  async killFront(): Promise<void> {
    await this.#end((pid) => process.kill(pid, 'SIGKILL'))
  }

  /** SIGKILL of the front and all its lanes at once. */
  async killGroup(): Promise<void> {
    await this.#end((pid) => process.kill(-pid, 'SIGKILL'))
  }

  /** Stops the front process, or lets it go on; its lanes are not told. */
  freeze(signal: 'SIGSTOP' | 'SIGCONT'): void {
    process.kill(this.pid, signal)
  }

  /** Waits until all hot lanes serve, with a spare and the cold lane beside them. */
  async whole(): Promise<void> {
    await eventually(
      async () => {
        const { state, spare, cold } = await this.lanes()
        return state === 'serving' && spare > 0 && cold > 0
      },
      () => `the pool is not whole; its log:\n${this.log()}`,
    )
  }

  /** The pool as /metrics tells of it. */
  async lanes(): Promise<PoolUnderMetrics> {
    const text = await (await fetch(`${this.ops}/metrics`)).text()
    const gauge = (name: string) =>
      Number(new RegExp(`^hsm_bridge_${name} (\\d+)$`, 'm').exec(text)?.[1])
    return {
      state: /^hsm_bridge_token_state\{state="(\w+)"\} 1$/m.exec(text)?.[1] ?? 'unknown',
      inRotation: gauge('lanes_in_rotation'),
      spare: gauge('lanes\\{role="spare"\\}'),
      cold: gauge('lanes\\{role="cold"\\}'),
      replaced: gauge('lanes_replaced'),
    }
  }

  /** Process ids of the lanes whose names begin with `role`, as the kernel has them. */
  lanePids(role: 'hot' | 'cold'): number[] {
    const children = readdirSync(`/proc/${this.pid}/task`).map((task) =>
      readFileSync(`/proc/${this.pid}/task/${task}/children`, 'utf8'),
    )
    return children
      .join(' ')
      .split(/\s+/)
      .filter((pid) => pid !== '' && nameOfLane(pid).startsWith(`${role}-`))
      .map(Number)
  }

  async stop(): Promise<void> {
    this.faults.clear()
    if (this.#process && this.#process.exitCode === null) await this.terminate()
    rmSync(this.directory, { recursive: true, force: true })
    this.token.remove()
  }

  async #end(how: (pid: number) => void): Promise<void> {
    const child = this.#process
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    how(child.pid)
    await ended
    this.#process = undefined
  }

  #running(): Endpoints {
    if (!this.#endpoints) throw new Error('the daemon has not started')
    return this.#endpoints
  }

  private environment(): Record<string, string> {
    return { PATH: process.env['PATH'] ?? '', HOME: this.directory, NO_COLOR: '1' }
  }

  /** Its name, or the path of a file with what differs. */
  #profile(differing: Partial<VendorProfile> | undefined): string {
    const { name } = this.token.profile
    if (!differing) return name
    const own = readFileSync(join(NATIVE_CONFIG, `${name}.json`), 'utf8')
    const path = join(this.directory, 'profile.json')
    writeFileSync(path, JSON.stringify({ ...(JSON.parse(own) as object), ...differing }))
    return path
  }

  #configuration(options: DaemonOptions): object {
    const { token, faults } = this
    return {
      stateDirectory: this.state,
      region: this.region,
      kms: { listen: '127.0.0.1:0' },
      ops: { listen: '127.0.0.1:0' },
      token: {
        profile: options.profilePath ?? this.#profile(options.profile),
        modulePath: options.faults ? faults.modulePath : token.modulePath,
        serial: token.serial,
        pinFile: join(token.dir, 'pin'),
        environment: { ...token.env, ...(options.faults ? faults.env : {}) },
      },
      ...(options.storageUrl !== undefined && { storage: { url: options.storageUrl } }),
      ...(typeof options.config === 'function' ? options.config(this.directory) : options.config),
    }
  }
}

/** Looks every 20 ms until `holds` does; fails in the words of `complaint` after `patienceMs`. */
export async function eventually(
  holds: () => Promise<boolean> | boolean,
  complaint: () => string,
  patienceMs = READY_WITHIN_MS,
): Promise<void> {
  const deadline = Date.now() + patienceMs
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(complaint())
    await pause(20)
  }
}

/** Git keeps no modes: here they are private again. */
/** What every host of a fleet has in common, and who calls. */
function copySecrets(from: string, to: string): void {
  mkdirSync(to, { mode: 0o700 })
  for (const name of ['host.key', 'aws-credentials']) copyFileSync(join(from, name), join(to, name))
}

function copyState(from: string, to: string): void {
  mkdirSync(to, { mode: 0o700 })
  for (const name of readdirSync(from)) {
    copyFileSync(join(from, name), join(to, name))
    chmodSync(join(to, name), 0o600)
  }
}

/** The last word of a lane's command line; empty when the process is gone. */
function nameOfLane(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').at(-2) ?? ''
  } catch {
    return ''
  }
}
