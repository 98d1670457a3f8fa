import { KMSClient } from '@aws-sdk/client-kms'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { findAwsCredentials } from '../../src/daemon/aws-profile.ts'
import { stateDirectory } from '../../src/daemon/state-directory.ts'

const CLI = join(import.meta.dirname, '../../src/daemon/cli.ts')

export interface CliAnswer {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  /** What `--json` printed. */
  json(): unknown
}

/** One state directory whose daemon and command line run as processes of their own, on ports that the system chooses. */
export class RunningInstallation {
  readonly directory: string
  readonly #environment: NodeJS.ProcessEnv
  #daemon: ChildProcess | undefined
  #endpoints: { kms: string; ops: string; pid: number } | undefined
  /** What the daemon logged since its last start. */
  log = ''

  constructor(directory: string, config = '') {
    this.directory = directory
    this.#environment = { PATH: process.env['PATH'], HSM_BRIDGE_STATE: directory }
    this.configure(config)
  }

  /** Writes config.yaml: ports chosen by the system, and what is given. */
  configure(config: string): void {
    const ports = 'kms: {listen: "127.0.0.1:0"}\nops: {listen: "127.0.0.1:0"}\n'
    writeFileSync(join(this.directory, 'config.yaml'), ports + config, { mode: 0o600 })
  }

  cli(...argv: string[]): Promise<CliAnswer> {
    return new Promise((resolve) => {
      const options = { env: this.#environment, maxBuffer: 1 << 24 }
      execFile(process.execPath, [CLI, ...argv], options, (error, stdout, stderr) => {
        const code = error ? Number(error.code ?? -1) : 0
        resolve({ code, stdout, stderr, json: () => JSON.parse(stdout) as unknown })
      })
    })
  }

  /** Resolves when the daemon says that it is ready; rejects with its exit code and log when it ends before. */
  async start(): Promise<void> {
    this.log = ''
    const daemon = spawn(process.execPath, [CLI, 'serve', '--json'], {
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#daemon = daemon
    daemon.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.log += text
    })
    const ready = once(createInterface(daemon.stdout), 'line') as Promise<[string]>
    const ended = once(daemon, 'close').then(([code]) => {
      throw new Error(`exit ${code}: ${this.log}`)
    })
    ended.catch(() => undefined)
    const [line] = await Promise.race([ready, ended])
    this.#endpoints = JSON.parse(line) as { kms: string; ops: string; pid: number }
  }

  get pid(): number {
    return this.#started().pid
  }

  /** Process ids of the daemon's children. */
  lanes(): number[] {
    const children = readdirSync(`/proc/${this.pid}/task`).map((task) =>
      readFileSync(`/proc/${this.pid}/task/${task}/children`, 'utf8'),
    )
    return children.join(' ').split(/\s+/).filter(Boolean).map(Number)
  }

  /** Sends a signal and answers the exit code, null when the signal ended it. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    const daemon = this.#daemon
    if (!daemon || daemon.exitCode !== null || daemon.signalCode !== null) return null
    const closed = once(daemon, 'exit') as Promise<[number | null]>
    daemon.kill(signal)
    const [code] = await closed
    return code
  }

  client(region = 'us-east-1'): KMSClient {
    const key = findAwsCredentials(stateDirectory(this.directory))
    if (!key) throw new Error('there are no credentials')
    return this.clientOf(key.accessKeyId, key.secretAccessKey.reveal(), region)
  }

  clientOf(accessKeyId: string, secretAccessKey: string, region = 'us-east-1'): KMSClient {
    const endpoint = this.#started().kms
    const credentials = { accessKeyId, secretAccessKey }
    return new KMSClient({ endpoint, region, credentials, maxAttempts: 1 })
  }

  async ops(path: string): Promise<{ status: number; text: string }> {
    const response = await fetch(this.#started().ops + path)
    return { status: response.status, text: await response.text() }
  }

  #started(): { kms: string; ops: string; pid: number } {
    if (!this.#endpoints) throw new Error('the daemon was not started')
    return this.#endpoints
  }
}

/** Whether the process is there and not only waiting to be buried. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    return false
  }
}

/** Waits until the condition holds; fails after `patienceMs`. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  patienceMs = 5000,
): Promise<void> {
  const until = Date.now() + patienceMs
  while (!(await condition())) {
    if (Date.now() > until) throw new Error('it did not become true in time')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
