import { CommanderError } from 'commander'
import { ConfigError } from './config-error.ts'

export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  configuration: 78, // EX_CONFIG of sysexits.h: a supervisor must not restart on it
} as const

export function exitCodeOf(error: unknown): number {
  if (error instanceof ConfigError) return EXIT.configuration
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  return EXIT.failure
}
