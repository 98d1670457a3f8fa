import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import { softHsmModulePath } from '../../softhsm/softhsm-conf.ts'
import { type FaultModule, faultModule } from './fault-module.ts'
import { makeSoftHsmToken, type SoftHsmToken } from './softhsm.ts'

const LAUNCHER = join(import.meta.dirname, '..', '..', 'scripts', 'hsm-bridge')
const READY_WITHIN_MS = 30_000

export interface DaemonOptions {
  /** Put the fault module between lanes and token. */
  readonly faults?: boolean | { readonly record: boolean }
  readonly withoutGcm?: boolean
  /** Path of a profile file instead of the token's own. */
  readonly profilePath?: string
  /** Configuration members on top of ours. */
  readonly config?: Readonly<Record<string, unknown>>
  readonly region?: string
}

export interface Endpoints {
  readonly kms: string
  readonly ops: string
}

/** A real daemon, started by the launcher as a user would, on a fresh SoftHSM2 token, in directories of its own, on free ports. */
export class DaemonUnderTest {
  readonly directory: string
  readonly state: string
  readonly token: SoftHsmToken
  readonly faults: FaultModule
  readonly configPath: string
  /** Everything that any run of the daemon printed. */
  readonly logPath: string
  #process: ChildProcess | undefined
  #endpoints: Endpoints | undefined

  private constructor(directory: string, token: SoftHsmToken, options: DaemonOptions) {
    this.directory = directory
    this.token = token
    this.state = join(directory, 'state')
    this.configPath = join(directory, 'config.yaml')
    this.logPath = join(directory, 'daemon.log')
    const record = typeof options.faults === 'object' ? options.faults.record : true
    this.faults = faultModule(softHsmModulePath(), token.dir, { record })
    writeFileSync(this.configPath, stringify(this.#configuration(options)), { mode: 0o600 })
  }

  /** Token, configuration and `hsm-bridge init`; nothing serves yet. */
  static async prepare(options: DaemonOptions = {}): Promise<DaemonUnderTest> {
    const token = await makeSoftHsmToken({ withoutGcm: options.withoutGcm ?? false })
    const directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-daemon-'))
    const daemon = new DaemonUnderTest(directory, token, options)
    await daemon.cli('init')
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
    const child = spawn(LAUNCHER, ['serve', '--config', this.configPath, '--json'], {
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
    const { stdout } = await promisify(execFile)(LAUNCHER, [...args, '--config', this.configPath], {
      env: this.environment(),
      maxBuffer: 64 * 1024 * 1024,
    })
    return stdout
  }

  get kms(): string {
    return this.#running().kms
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

  #configuration(options: DaemonOptions): object {
    const { token, faults } = this
    return {
      stateDirectory: this.state,
      region: options.region ?? 'eu-west-1',
      kms: { listen: '127.0.0.1:0' },
      ops: { listen: '127.0.0.1:0' },
      token: {
        profile: options.profilePath ?? token.profile.name,
        modulePath: options.faults ? faults.modulePath : token.modulePath,
        serial: token.serial,
        pinFile: join(token.dir, 'pin'),
        environment: { ...token.env, ...(options.faults ? faults.env : {}) },
      },
      ...options.config,
    }
  }
}
