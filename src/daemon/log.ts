import { styleText } from 'node:util'
import winston from 'winston'

/** What every part of the daemon logs through. Never called for each request: that is audit's. */
export interface Logger {
  error(message: string, facts?: LogFacts): void
  warn(message: string, facts?: LogFacts): void
  info(message: string, facts?: LogFacts): void
  debug(message: string, facts?: LogFacts): void
}

export type LogFacts = Readonly<Record<string, unknown>>

export interface LogOptions {
  readonly level: 'error' | 'warn' | 'info' | 'debug'
  readonly file?: string | undefined
}

export interface ClosableLogger extends Logger {
  close(): Promise<void>
}

/** JSON lines on stderr or in a file (0600); readable lines when a person watches. */
export function createLogger(options: LogOptions, stderr: NodeJS.WriteStream): ClosableLogger {
  const log = winston.createLogger({
    level: options.level,
    transports: [transport(options.file, stderr)],
    exitOnError: false,
  })
  const at =
    (level: LogOptions['level']) =>
    (message: string, facts: LogFacts = {}): void => {
      log.log(level, message, { facts: plainFacts(facts) })
    }
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    close: () =>
      new Promise((resolve) => {
        log.once('finish', resolve)
        log.end()
      }),
  }
}

function transport(file: string | undefined, stderr: NodeJS.WriteStream): winston.transport {
  if (file !== undefined) {
    return new winston.transports.File({
      filename: file,
      format: JSON_LINES,
      options: { flags: 'a', mode: 0o600 },
    })
  }
  return new winston.transports.Stream({
    stream: stderr,
    format: stderr.isTTY ? READABLE : JSON_LINES,
  })
}

const JSON_LINES = winston.format.printf((info) =>
  JSON.stringify({
    time: new Date().toISOString(),
    level: info.level,
    message: info.message,
    ...(info['facts'] as LogFacts),
  }),
)

const COLOUR = { error: 'red', warn: 'yellow', info: 'green', debug: 'gray' } as const

const READABLE = winston.format.printf((info) => {
  const level = info.level as keyof typeof COLOUR
  const name = styleText(COLOUR[level], level.padEnd(5), { stream: process.stderr })
  const facts = Object.entries(info['facts'] as LogFacts)
    .map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('')
  return `${new Date().toISOString().slice(11, 23)} ${name} ${String(info.message)}${facts}`
})

/** Errors have no JSON form of their own; Sensitive values have one that hides them. */
function plainFacts(facts: LogFacts): LogFacts {
  return Object.fromEntries(
    Object.entries(facts).map(([key, value]) => [
      key,
      value instanceof Error ? errorFacts(value) : value,
    ]),
  )
}

/** Name, code and message of an error and of its causes; for a token's error also what PKCS#11 said. */
export function errorFacts(error: unknown): object | string {
  if (!(error instanceof Error)) return String(error)
  const { name, message, stack, cause } = error
  const { code, ckr, call } = error as Error & { code?: unknown; ckr?: unknown; call?: unknown }
  const known = code !== undefined
  return {
    name,
    message,
    ...(known ? { code } : { stack }),
    ...(ckr === undefined ? {} : { ckr }),
    ...(call === undefined ? {} : { call }),
    ...(cause === undefined ? {} : { cause: errorFacts(cause) }),
  }
}
