import { Command } from 'commander'
import { askDaemon } from './admin-client.ts'
import { sendRecordsOn } from './administration.ts'
import { type AdminCommand, checkedParameters, commandPath, type Given } from './command.ts'
import { type Config, loadConfig } from './config.ts'
import { EXIT } from './exit-code.ts'
import { makeHostSeal } from './host-seal.ts'
import { Installation, type Surroundings } from './installation.ts'
import { createLogger } from './log.ts'
import { Page } from './page.ts'
import { makePrivateDirectory } from './private-file.ts'
import { DAEMON_PURPOSE, findLockHolder } from './state-lock.ts'

/** The world of one call of the program. */
export interface CliWorld {
  readonly env: NodeJS.ProcessEnv
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
}

interface CommonOptions {
  readonly config?: string
  readonly state?: string
  readonly json?: boolean
}

/** The command line: every command takes `--config`, `--state` and `--json`. */
export class Cli {
  readonly program: Command
  readonly #world: CliWorld
  #chosen: Command | undefined
  exitCode: number = EXIT.ok

  constructor(world: CliWorld) {
    this.#world = world
    this.program = new Command('hsm-bridge')
      .description('AWS KMS, with the keys in your own HSM')
      .exitOverride()
      .configureOutput({
        writeOut: (text) => void world.stdout.write(text),
        writeErr: (text) => void world.stderr.write(text),
        outputError: (text, write) => write(text.replace(/^error: /, 'hsm-bridge: ')),
      })
  }

  /** Adds a command by its full name: `key show` goes below `key`. */
  command(name: string, summary: string): Command {
    const words = name.split(' ')
    const leaf = words.pop() ?? ''
    const command = this.#group(words)
      .command(leaf)
      .description(summary)
      .option('--config <file>', 'configuration file')
      .option('--state <directory>', 'state directory')
      .option('--json', 'print JSON')
    command.hook('preAction', (_this, action) => {
      this.#chosen = action
    })
    return command
  }

  #group(words: readonly string[]): Command {
    let group = this.program
    for (const word of words) {
      group =
        group.commands.find((it) => it.name() === word) ??
        group.command(word).description(`${word} commands`)
    }
    return group
  }

  /** Adds a row of commands/: by the daemon where one runs, else by this process. */
  add(row: AdminCommand): void {
    const command = this.command(row.name, row.summary)
    if (row.argument) command.argument(row.argument.name, row.argument.summary)
    for (const { flags, summary, required } of row.flags) {
      if (required) command.requiredOption(flags, summary)
      else command.option(flags, summary)
    }
    const argumentName = row.argument?.name.replace(/[<>[\]]/g, '')
    command.action(() =>
      this.run(async (session) => {
        const given: Given = {
          ...command.opts(),
          ...(argumentName === undefined ? {} : { [argumentName]: command.args[0] }),
        }
        const result = await session.perform(row, row.prepare(given))
        session.show(result, (page) => row.print(result, page))
        if (row.succeeded && !row.succeeded(result)) session.failed()
      }),
    )
  }

  /** Loads the configuration and does the work of the command that was chosen. */
  async run(work: (session: CliSession) => Promise<void>): Promise<void> {
    const options: CommonOptions = this.#chosen?.opts() ?? {}
    const { env, stdout, stderr } = this.#world
    const config = loadConfig({ file: options.config, stateDirectory: options.state }, env)
    const serving = this.#chosen?.name() === 'serve'
    const logger = createLogger(serving ? config.log : { level: 'error' }, stderr)
    const session = new CliSession({ config, logger, env }, stdout, options.json === true)
    try {
      await work(session)
    } finally {
      if (!session.succeeded) this.exitCode = EXIT.failure
      await logger.close()
    }
  }
}

/** One command at work. */
export class CliSession {
  readonly around: Surroundings
  readonly #page: Page
  readonly #stdout: NodeJS.WriteStream
  readonly #json: boolean
  #succeeded = true

  constructor(around: Surroundings, stdout: NodeJS.WriteStream, json: boolean) {
    this.around = around
    this.#page = new Page(stdout)
    this.#stdout = stdout
    this.#json = json
  }

  get succeeded(): boolean {
    return this.#succeeded
  }

  /** The command obtained its result, and the result is bad news. */
  failed(): void {
    this.#succeeded = false
  }

  /** JSON on one line with `--json`, else for people. */
  show(result: unknown, print: (page: Page) => void): void {
    if (this.#json) this.#stdout.write(`${JSON.stringify(result)}\n`)
    else print(this.#page)
  }

  /** By the daemon when one runs, else by this process under the same lock and latch (ARCH-D18). */
  async perform(row: AdminCommand, parameters: object): Promise<unknown> {
    const { config } = this.around
    const holder = findLockHolder(config.state.lock)
    if (holder?.purpose !== DAEMON_PURPOSE) return await this.#performHere(row, parameters)
    if (row.where === 'either') {
      return await askDaemon(config.state.adminSocket, commandPath(row), parameters)
    }
    throw new Error(
      `the daemon runs (pid ${holder.pid}); stop it, then repeat: hsm-bridge ${row.name}`,
    )
  }

  async #performHere(row: AdminCommand, given: object): Promise<unknown> {
    const parameters = checkedParameters(row, given)
    if (row.makesState) makeState(this.around.config, this.around.env)
    const installation = await Installation.open(this.around, `hsm-bridge ${row.name}`)
    try {
      return await row.perform(installation, parameters)
    } finally {
      await sendRecordsOn(installation)
      await installation.close()
    }
  }
}

function makeState(config: Config, env: NodeJS.ProcessEnv): void {
  makePrivateDirectory(config.state.path, 'stateDirectory')
  makeHostSeal(config.state.hostKey, env)
}
