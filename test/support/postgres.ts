import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chownSync,
  closeSync,
  existsSync,
  globSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'

const START_MS = 20_000
/** Whoever the server runs as when the tests run as root: it refuses to be root. */
const UNPRIVILEGED = ['postgres', 'nobody']

/** Where Debian keeps the newest server's programs; undefined when none is installed. */
const PROGRAMS = globSync('/usr/lib/postgresql/*/bin/postgres')
  .sort((a, b) => Number(/\d+/.exec(a)?.[0]) - Number(/\d+/.exec(b)?.[0]))
  .map((path) => dirname(path))
  .at(-1)

/**
 * Suites on a PostgreSQL server of their own. Where none is installed they fail if CI=true and are a named skip elsewhere.
 */
export function describePostgres(title: string, suite: (server: PostgresServer) => void): void {
  if (PROGRAMS !== undefined) {
    describe(title, function () {
      this.timeout(60_000)
      const server = new PostgresServer(PROGRAMS)
      before(() => server.start())
      after(() => server.remove())
      suite(server)
    })
    return
  }
  const reason = `${title}: no PostgreSQL server is installed; scripts/setup brings it`
  if (process.env['CI'] !== 'true') it.skip(reason)
  else {
    it(reason, () => {
      throw new Error(reason)
    })
  }
}

/** A server with a cluster of its own in a temporary directory, reached by a unix socket in it. */
export class PostgresServer {
  readonly directory: string
  readonly #programs: string
  readonly #owner: { uid: number; gid: number } | undefined
  #process: ChildProcess | undefined
  #databases = 0

  constructor(programs = PROGRAMS) {
    if (programs === undefined) throw new Error('no PostgreSQL server is installed')
    this.#programs = programs
    this.#owner = process.getuid?.() === 0 ? unprivileged() : undefined
    this.directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-pg-'))
    if (this.#owner) chownSync(this.directory, this.#owner.uid, this.#owner.gid)
    process.once('exit', () => this.#kill())
  }

  /** Resolves when it answers, also when it has been running. The first start makes the cluster: about a second. */
  async start(): Promise<void> {
    if (this.#isRunning()) return
    const data = join(this.directory, 'data')
    if (!existsSync(data)) this.#initialise(data)
    const log = openSync(join(this.directory, 'log'), 'a')
    const settings = ['listen_addresses=', 'fsync=off', 'full_page_writes=off']
    const args = ['-D', data, '-k', this.directory, ...settings.flatMap((it) => ['-c', it])]
    const options = { stdio: ['ignore', log, log] as ['ignore', number, number], ...this.#owner }
    const server = spawn(join(this.#programs, 'postgres'), args, options)
    server.unref()
    closeSync(log)
    this.#process = server
    await this.#answers()
  }

  /** SIGINT ends every session at once; SIGQUIT ends the server as a crash does. */
  async stop(signal: 'SIGINT' | 'SIGQUIT' = 'SIGINT'): Promise<void> {
    const server = this.#process
    if (!server || !this.#isRunning()) return
    server.ref()
    const ended = once(server, 'exit')
    server.kill(signal)
    await ended
  }

  /** The whole server, with its sessions, stops answering, or goes on. */
  freeze(signal: 'SIGSTOP' | 'SIGCONT'): void {
    const pid = this.#process?.pid
    if (pid === undefined) throw new Error('the server does not run')
    for (const child of [...childrenOf(pid), pid]) process.kill(child, signal)
  }

  async remove(): Promise<void> {
    await this.stop('SIGQUIT')
    rmSync(this.directory, { recursive: true, force: true })
  }

  /** The URL of a new, empty database. */
  async createDatabase(): Promise<string> {
    this.#databases += 1
    const name = `test_${this.#databases}`
    await this.query(this.urlOf('postgres'), `create database ${name}`)
    return this.urlOf(name)
  }

  urlOf(database: string): string {
    return `postgresql:///${database}?host=${encodeURIComponent(this.directory)}&user=hsm`
  }

  async query(url: string, text: string): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    try {
      return (await client.query<Record<string, unknown>>(text)).rows
    } finally {
      await client.end()
    }
  }

  /** Runs one of PostgreSQL's own programs. */
  run(program: string, ...args: readonly string[]): void {
    execFileSync(join(this.#programs, program), args, { stdio: 'pipe' })
  }

  log(): string {
    return readFileSync(join(this.directory, 'log'), 'utf8')
  }

  #isRunning(): boolean {
    const server = this.#process
    return server !== undefined && server.exitCode === null && server.signalCode === null
  }

  #initialise(data: string): void {
    const args = ['-D', data, '-U', 'hsm', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync']
    execFileSync(join(this.#programs, 'initdb'), args, { stdio: 'pipe', ...this.#owner })
  }

  async #answers(): Promise<void> {
    const giveUp = Date.now() + START_MS
    for (;;) {
      try {
        await this.query(this.urlOf('postgres'), 'select 1')
        return
      } catch (error) {
        if (Date.now() > giveUp) throw new Error(this.log(), { cause: error })
        await pause(20)
      }
    }
  }

  #kill(): void {
    this.#process?.kill('SIGQUIT')
    rmSync(this.directory, { recursive: true, force: true })
  }
}

function unprivileged(): { uid: number; gid: number } {
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name = '', , uid, gid] = line.split(':')
    if (UNPRIVILEGED.includes(name)) return { uid: Number(uid), gid: Number(gid) }
  }
  throw new Error(`there is none of the users ${UNPRIVILEGED.join(', ')}`)
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.split(' ').filter(Boolean).map(Number)
}
