import { randomBytes } from 'node:crypto'
import { linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { codeOf } from './private-file.ts'

interface Holder {
  readonly pid: number
  /** Start time of the process in clock ticks since boot: a number that was given to another process is not the holder. */
  readonly startedTicks: string
  readonly purpose: string
}

/** Thrown when another process works on the state directory. */
export class StateLocked extends Error {
  readonly holder: { readonly pid: number; readonly purpose: string }

  constructor(path: string, holder: Holder) {
    super(`${holder.purpose} (pid ${holder.pid}) works on this state directory (${path})`)
    this.name = 'StateLocked'
    this.holder = holder
  }
}

/** What the daemon holds the lock for: whoever finds this asks it instead. */
export const DAEMON_PURPOSE = 'hsm-bridge serve'

/** One process per state directory: the daemon, or one command that works without it. */
export interface StateLock {
  release(): void
}

/** Takes the lock; one that a dead process left behind is taken over. Throws StateLocked. */
export function takeStateLock(path: string, purpose: string): StateLock {
  const mine: Holder = { pid: process.pid, startedTicks: startedTicks(process.pid) ?? '', purpose }
  const text = JSON.stringify(mine)
  for (let attempt = 0; attempt < 5; attempt++) {
    if (createWhole(path, text)) return { release: () => releaseIfMine(path, text) }
    const holder = readHolder(path)
    if (holder === undefined) continue // released in this moment
    if (isAlive(holder)) throw new StateLocked(path, holder)
    removeStale(path, JSON.stringify(holder))
  }
  throw new Error(`cannot take the lock ${path}`)
}

/** The living holder of the lock, if there is one. */
export function findLockHolder(path: string): { pid: number; purpose: string } | undefined {
  const holder = readHolder(path)
  return holder && isAlive(holder) ? holder : undefined
}

/** A link appears with its whole content or not at all, so nobody reads half a lock. */
function createWhole(path: string, text: string): boolean {
  const draft = uniqueBeside(path)
  writeFileSync(draft, text, { mode: 0o600, flag: 'wx' })
  try {
    linkSync(draft, path)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  } finally {
    unlinkSync(draft)
  }
}

function readHolder(path: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Holder
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw new Error(`${path} is not a lock of ours; remove it when no hsm-bridge runs`, {
      cause: error,
    })
  }
}

function isAlive(holder: Holder): boolean {
  return startedTicks(holder.pid) === holder.startedTicks
}

/** Moves the stale lock aside first: if it is no longer the one we judged, somebody was faster and gets it back. */
function removeStale(path: string, judged: string): void {
  const aside = uniqueBeside(path)
  try {
    renameSync(path, aside)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    throw error
  }
  if (readFileSync(aside, 'utf8') !== judged) linkSync(aside, path)
  unlinkSync(aside)
}

function releaseIfMine(path: string, text: string): void {
  try {
    if (readFileSync(path, 'utf8') === text) unlinkSync(path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
}

function uniqueBeside(path: string): string {
  return `${path}.${process.pid}.${randomBytes(4).toString('hex')}`
}

/** Field 22 of /proc/<pid>/stat; the command name before it may hold spaces and brackets. */
function startedTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' ? undefined : rest[18] // a zombie holds nothing any more
  } catch {
    return undefined
  }
}
