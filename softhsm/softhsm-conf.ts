import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** Where Debian and its relatives put the module. */
const MODULE_PATHS = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
]

/** The SoftHSM2 module of this machine. Throws when there is none. */
export function softHsmModulePath(): string {
  const found = MODULE_PATHS.find((path) => existsSync(path))
  if (!found) throw new Error('SoftHSM2 is not installed: apt-get install softhsm2')
  return found
}

export interface SoftHsmConf {
  /** The file for SOFTHSM2_CONF. */
  readonly confPath: string
  readonly tokenDirectory: string
}

/** Writes a configuration whose tokens live in `directory`, readable by nobody else. */
export function writeSoftHsmConf(
  directory: string,
  options: { readonly withoutGcm: boolean },
): SoftHsmConf {
  const tokenDirectory = join(resolve(directory), 'tokens')
  const confPath = join(resolve(directory), 'softhsm2.conf')
  mkdirSync(tokenDirectory, { recursive: true, mode: 0o700 })
  // SoftHSM2 2.6.1 ignores the first name after the minus, whatever it is.
  const mechanisms = options.withoutGcm ? '-DUMMY,CKM_AES_GCM' : 'ALL'
  const lines = [
    `directories.tokendir = ${tokenDirectory}`,
    'objectstore.backend = file',
    'log.level = ERROR',
    'slots.removable = false',
    `slots.mechanisms = ${mechanisms}`,
    '',
  ]
  writeFileSync(confPath, lines.join('\n'), { mode: 0o600 })
  return { confPath, tokenDirectory }
}
