import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { dirname, join } from 'node:path'

const REPOSITORY = join(import.meta.dirname, '..', '..')

const WARNINGS = ['-Wall', '-Wextra', '-Werror', '-Wno-missing-field-initializers']

/**
 * Compiles one C file against p11-kit's PKCS#11 header, once per content, and returns the path of the result below the
 * ignored `.cache/<cache>/`. Throws with the compiler's words when gcc or libp11-kit-dev is missing.
 */
export function compileC(options: {
  readonly source: string
  readonly cache: string
  readonly output: string
  readonly shared: boolean
}): string {
  const flags = ['-std=gnu11', '-O2', ...WARNINGS, ...(options.shared ? ['-shared', '-fPIC'] : [])]
  const hash = createHash('sha256')
    .update(JSON.stringify([flags, process.arch]))
    .update(readFileSync(options.source))
    .digest('hex')
    .slice(0, 16)
  const path = join(REPOSITORY, '.cache', options.cache, hash, options.output)
  if (existsSync(path)) return path
  mkdirSync(dirname(path), { recursive: true })
  const unfinished = `${path}.${process.pid}` // renamed when done: another run may be compiling the same
  const headers = run('pkg-config', ['--cflags', 'p11-kit-1']).trim().split(/\s+/)
  run('gcc', [...flags, ...headers, '-o', unfinished, options.source, '-ldl', '-lpthread'])
  renameSync(unfinished, path)
  return path
}

function run(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}
