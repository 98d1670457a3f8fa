import * as z from 'zod'
import type { Installation } from './installation.ts'
import type { Page } from './page.ts'

/** What stood on the command line, by option or argument name in camelCase. */
export type Given = Readonly<Record<string, string | boolean | undefined>>

/** A flag as commander reads it, with one sentence about it. */
export interface FlagRow {
  readonly flags: string
  readonly summary: string
  readonly required?: boolean
}

/**
 * One administrative command: what it takes, what it does to an installation, and how its result is shown. The daemon
 * serves the same rows on its socket.
 */
export interface AdminCommand<Parameters extends object = object, Result = unknown> {
  /** As typed: `key show`. */
  readonly name: string
  readonly summary: string
  /** Positional argument, such as `<key-id>`. */
  readonly argument?: { readonly name: string; readonly summary: string }
  readonly flags: readonly FlagRow[]
  /** `either`: by the daemon when one runs, else by this process under its lock. `alone`: only while no daemon runs. */
  readonly where: 'either' | 'alone'
  /** Makes state directory and host key where they are missing: the machine may be a new one. */
  readonly makesState?: boolean
  /** Checks what came over the socket. */
  readonly parameters: z.ZodType<Parameters>
  /** Makes parameters of the command line: reads files, makes paths absolute. Runs in the process of the CLI. */
  prepare(given: Given): Parameters
  perform(installation: Installation, parameters: Parameters): Promise<Result>
  print(result: Result, page: Page): void
  /** False when the result, although obtained, is bad news: exit code 1. */
  succeeded?(result: Result): boolean
}

/** Keeps the types of one row together while rows of different types stand in one list. */
export function defineCommand<Parameters extends object, Result>(
  command: AdminCommand<Parameters, Result>,
): AdminCommand {
  return command
}

/** What was given, once the command's own schema has accepted it. Throws Error on one line. */
export function checkedParameters(command: AdminCommand, given: unknown): object {
  const parameters = command.parameters.safeParse(given)
  if (!parameters.success) throw new Error(z.prettifyError(parameters.error).replaceAll('\n', ' '))
  return parameters.data
}

/** The command's name as a path of the administration socket. */
export function commandPath({ name }: Pick<AdminCommand, 'name'>): string {
  return name.replaceAll(' ', '-')
}
