#!/usr/bin/env node
import { CommanderError } from 'commander'
import { Cli, type CliWorld } from './cli-session.ts'
import { addDoctor } from './commands/doctor.ts'
import { ADMIN_COMMANDS } from './commands/index.ts'
import { addInit } from './commands/init.ts'
import { addRestore } from './commands/restore.ts'
import { addServe } from './commands/serve.ts'
import { addXksConformance } from './commands/xks-conformance.ts'
import { exitCodeOf } from './exit-code.ts'

/** Runs one command line. Answers the exit code: 0, 1 failure, 2 usage, 78 configuration. */
export async function main(argv: readonly string[], world: CliWorld): Promise<number> {
  const cli = new Cli(world)
  addServe(cli)
  addInit(cli)
  for (const row of ADMIN_COMMANDS) cli.add(row)
  addDoctor(cli)
  addRestore(cli)
  addXksConformance(cli, world)
  try {
    await cli.program.parseAsync([...argv], { from: 'user' })
    return cli.exitCode
  } catch (error) {
    // Commander has printed its own.
    if (!(error instanceof CommanderError)) world.stderr.write(`hsm-bridge: ${messageOf(error)}\n`)
    return exitCodeOf(error)
  }
}

/** The message and what caused it, on one line. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { message, cause } = error
  return cause instanceof Error && !message.includes(cause.message)
    ? `${message} (${messageOf(cause)})`
    : message
}

if (import.meta.main) {
  const { env, stdout, stderr } = process
  process.umask(0o077) // nothing of ours is for others, whatever the shell says
  const code = await main(process.argv.slice(2), { env, stdout, stderr })
  process.exit(code) // whatever still waits (for a lane that will not come) is of no interest; stdout is synchronous on Linux
}
