import {
  closeSync,
  fsyncSync,
  globSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { CustodyError } from '../crypto/custody-error.ts'

const LOCK_POLL_MS = 20
/** Beside the tokens, because daemons of other state directories log in there too; SoftHSM2 looks at directories only. */
const LOCK_FILE = '.hsm-bridge-login.lock'

export interface GuardedFiles {
  /** Where the globs begin. */
  readonly tokenDirectory: string
  /** Profile `loginRewritesFiles`. */
  readonly globs: readonly string[]
  /** Where the copies lie, mode 0700. */
  readonly guardDirectory: string
}

/**
 * Does `login` while no other process logs in, after putting back what an interrupted login truncated and copying what
 * is whole (FM-F23: a SIGKILL inside a SoftHSM2 login leaves `token.object` empty, and the token is lost). Answers the
 * files that were put back. Throws CustodyError DEADLINE if another process holds the lock until `deadlineAt`.
 */
export function guardLogin<T>(
  files: GuardedFiles,
  deadlineAt: number,
  login: (restoredFiles: readonly string[]) => T,
): T {
  mkdirSync(files.guardDirectory, { recursive: true, mode: 0o700 })
  return withLock(join(files.tokenDirectory, LOCK_FILE), deadlineAt, () =>
    login(restoreAndCopy(files)),
  )
}

/** SoftHSM2's own word for where its tokens lie, or undefined when this process is not told. */
export function findSoftHsmTokenDirectory(environment: NodeJS.ProcessEnv): string | undefined {
  const path = environment.SOFTHSM2_CONF
  if (path === undefined || path === '') return undefined
  return /^\s*directories\.tokendir\s*=\s*(.*\S)\s*$/m.exec(readFileSync(path, 'utf8'))?.[1]
}

// ── copies ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function restoreAndCopy({ tokenDirectory, globs, guardDirectory }: GuardedFiles): string[] {
  const restored: string[] = []
  for (const name of globSync([...globs], { cwd: tokenDirectory })) {
    const path = join(tokenDirectory, name)
    const copyPath = join(guardDirectory, `${encodeURIComponent(name)}.copy`)
    const current = readFileSync(path)
    const copy = findFile(copyPath)
    if (isWholeObjectFile(current)) {
      if (!copy?.equals(current)) replaceFile(copyPath, current, 0o600)
    } else if (copy && isTruncated(current, copy)) {
      replaceFile(path, copy, statSync(path).mode & 0o777)
      restored.push(path)
    }
  }
  return restored
}

/**
 * Only what an interrupted rewrite leaves: fewer bytes than the copy, and an end in the middle of an attribute. A shorter
 * file that is whole is somebody's doing (a token made anew), and a longer one that we cannot read is not ours to judge.
 */
function isTruncated(current: Buffer, copy: Buffer): boolean {
  return current.length < copy.length && !isWholeObjectFile(current)
}

/** Bytes of a value by SoftHSM2's number for its kind; a byte string carries its length in front. */
const VALUE_BYTES = new Map<bigint, (file: Buffer, offset: number) => number>([
  [1n, () => 1], // boolean
  [2n, () => 8], // unsigned long
  [3n, (file, offset) => 8 + Number(file.readBigUInt64BE(offset))], // byte string
])

/**
 * Whether a SoftHSM2 object file ends where an attribute ends: generation u64, then type u64, kind u64, value each. A file
 * with a kind that tokens do not use counts as whole: we do not know better.
 */
export function isWholeObjectFile(file: Buffer): boolean {
  let offset = 8
  try {
    while (offset < file.length) {
      const valueBytes = VALUE_BYTES.get(file.readBigUInt64BE(offset + 8))
      if (!valueBytes) return true
      offset += 16 + valueBytes(file, offset + 16)
    }
  } catch (error) {
    if (error instanceof RangeError) return false
    throw error
  }
  return file.length > 8 && offset === file.length
}

function findFile(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Whoever looks sees the old bytes or the new ones, also after a power cut. */
function replaceFile(path: string, bytes: Buffer, mode: number): void {
  const temporary = `${path}.${process.pid}.new`
  const file = openSync(temporary, 'w', mode)
  try {
    writeSync(file, bytes)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(temporary, path)
}

// ── the lock ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function withLock<T>(path: string, deadlineAt: number, work: () => T): T {
  while (!takeLock(path)) {
    if (Date.now() >= deadlineAt)
      throw new CustodyError('DEADLINE', 'another process has been logging in for too long')
    sleep(LOCK_POLL_MS)
  }
  try {
    return work()
  } finally {
    rmSync(path, { force: true })
  }
}

/** The lock is linked into place with its holder already written in it, so nobody ever reads half a holder. */
function takeLock(path: string): boolean {
  const mine = `${path}.${process.pid}`
  writeFileSync(mine, holderOf(process.pid) ?? '', { mode: 0o600 })
  try {
    linkSync(mine, path)
    return true
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
    breakIfStale(path)
    return false
  } finally {
    rmSync(mine, { force: true })
  }
}

/** Moves a dead holder's lock away. A live lock that slipped in between is put back. */
function breakIfStale(path: string): void {
  const holder = findFile(path)?.toString('utf8')
  if (holder === undefined || isAlive(holder)) return
  const moved = `${path}.stale.${process.pid}`
  try {
    renameSync(path, moved)
    if (isAlive(readFileSync(moved, 'utf8'))) linkSync(moved, path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'EEXIST') throw error
  } finally {
    rmSync(moved, { force: true })
  }
}

function isAlive(holder: string): boolean {
  return holder !== '' && holderOf(Number.parseInt(holder, 10)) === holder
}

/** Process id and start time, because ids come back; undefined when there is no such process. */
function holderOf(pid: number): string | undefined {
  const status = findFile(`/proc/${pid}/stat`)?.toString('utf8')
  // The second field, the name, may hold anything up to its last parenthesis; the start time is the 22nd.
  return status && `${pid} ${status.slice(status.lastIndexOf(')') + 2).split(' ')[19]}`
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
