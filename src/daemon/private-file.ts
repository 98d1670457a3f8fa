import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { ConfigError } from './config-error.ts'

const GROUP_OR_OTHERS = 0o077

/**
 * Reads a file that holds a secret. Refuses one that group or others can touch, or that a stranger owns.
 * The check is made on the open file, so nobody can exchange it in between. Throws ConfigError naming `option`.
 */
export function readPrivateFile(path: string, option: string): string {
  const file = openForReading(path, option)
  try {
    const facts = fstatSync(file)
    if (!facts.isFile()) throw new ConfigError(option, `${path} is not a regular file`)
    if ((facts.mode & GROUP_OR_OTHERS) !== 0) {
      // AT-K04: whoever can read this file has the secret; run on and it stays so.
      throw new ConfigError(
        option,
        `${path} can be accessed by group or others (mode ${octal(facts.mode)}); run: chmod 600 ${path}`,
      )
    }
    if (facts.uid !== process.getuid?.() && facts.uid !== 0) {
      throw new ConfigError(option, `${path} belongs to another user (uid ${facts.uid})`)
    }
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}

function openForReading(path: string, option: string): number {
  try {
    return openSync(path, 'r')
  } catch (error) {
    throw new ConfigError(option, `cannot read ${path} (${codeOf(error)})`, { cause: error })
  }
}

/** Replaces a file as a whole, readable by its owner only, on the disk before this returns. */
export function writePrivateFile(path: string, content: string | Uint8Array): void {
  const draft = `${path}.${randomBytes(6).toString('hex')}.new`
  const file = openSync(draft, 'wx', 0o600)
  try {
    writeSync(file, typeof content === 'string' ? Buffer.from(content) : content)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(draft, path)
  syncDirectory(dirname(path))
}

/** As `writePrivateFile`, but never over a file that exists. Throws Error in words. */
export function writeNewPrivateFile(path: string, content: string): void {
  const file = openNew(path)
  try {
    writeSync(file, content)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  syncDirectory(dirname(path))
}

function openNew(path: string): number {
  try {
    return openSync(path, 'wx', 0o600)
  } catch (error) {
    const code = codeOf(error)
    throw new Error(code === 'EEXIST' ? `${path} exists already` : `cannot write ${path} (${code})`)
  }
}

/** Makes the directory with mode 0700; one that exists must already be ours and closed to others. */
export function makePrivateDirectory(path: string, option: string): void {
  const made = mkdirSync(path, { recursive: true, mode: 0o700 })
  if (made !== undefined) chmodSync(path, 0o700) // the umask may have taken bits away
  assertPrivateDirectory(path, option)
}

/** Throws ConfigError unless the directory is ours and closed to group and others. */
export function assertPrivateDirectory(path: string, option: string): void {
  const problem = privacyProblem(path)
  if (problem) throw new ConfigError(option, problem)
}

/** What is wrong with a directory, socket or file that only its owner may touch; undefined when nothing is. */
export function privacyProblem(path: string): string | undefined {
  const facts = statSync(path)
  if (facts.uid !== process.getuid?.()) return `${path} belongs to another user (uid ${facts.uid})`
  if ((facts.mode & GROUP_OR_OTHERS) !== 0) {
    const cure = facts.isDirectory() ? 700 : 600
    return `${path} can be accessed by group or others (mode ${octal(facts.mode)}); run: chmod ${cure} ${path}`
  }
  return undefined
}

export function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0')
}

function syncDirectory(path: string): void {
  const directory = openSync(path, 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

/** The short name of a system error, such as `ENOENT`. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
