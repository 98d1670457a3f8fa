import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Sensitive } from '../bytes/sensitive.ts'
import { ConfigError } from './config-error.ts'
import { codeOf, readPrivateFile } from './private-file.ts'

/** Where the PIN of a token comes from: a file, a systemd credential, or a command; never an argument (ARCH-D4). */
export type PinSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'credential'; readonly name: string }
  | { readonly kind: 'command'; readonly command: readonly string[] }

const COMMAND_TIMEOUT_MS = 10_000

/** Throws ConfigError when there is no PIN to be had, or when it lies open to others. */
export async function readPin(
  source: PinSource,
  env: NodeJS.ProcessEnv,
): Promise<Sensitive<string>> {
  const pin = (await textOf(source, env)).replace(/\r?\n$/, '')
  if (pin === '') throw new ConfigError(OPTION[source.kind], 'the PIN is empty')
  return new Sensitive(pin)
}

const OPTION = {
  file: 'token.pinFile',
  credential: 'token.pinCredential',
  command: 'token.pinCommand',
} as const

async function textOf(source: PinSource, env: NodeJS.ProcessEnv): Promise<string> {
  switch (source.kind) {
    case 'file':
      return readPrivateFile(source.path, OPTION.file)
    case 'credential':
      return readPrivateFile(credentialPath(source.name, env), OPTION.credential)
    case 'command':
      return await outputOf(source.command)
  }
}

function credentialPath(name: string, env: NodeJS.ProcessEnv): string {
  const directory = env['CREDENTIALS_DIRECTORY']
  if (!directory) {
    throw new ConfigError(
      OPTION.credential,
      `systemd handed over no credentials; add LoadCredential=${name}:<file> to the unit`,
    )
  }
  return join(directory, name)
}

async function outputOf(command: readonly string[]): Promise<string> {
  const [program = '', ...rest] = command
  try {
    const options = { timeout: COMMAND_TIMEOUT_MS, encoding: 'utf8' } as const
    return (await promisify(execFile)(program, rest, options)).stdout
  } catch (error) {
    // What the command printed may be half a PIN: it is dropped, together with the error that carries it.
    throw new ConfigError(OPTION.command, `${program} failed (${codeOf(error)})`)
  }
}
