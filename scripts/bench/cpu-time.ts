import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'

const TICK_US = 10_000 // USER_HZ is 100 on every Linux

/** Microseconds of CPU, user and system, that a process and its threads have used. */
export function cpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // the name before may hold blanks
  return (Number(fields[11]) + Number(fields[12])) * TICK_US
}

export function childrenOf(pid: number): number[] {
  const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return pids.split(' ').filter(Boolean).map(Number)
}

/** One line about where the figures come from. */
export function machine(): string {
  const [first] = cpus()
  const gib = (totalmem() / 2 ** 30).toFixed(1)
  return `${cpus().length} × ${first?.model.trim() ?? '?'}, ${gib} GiB, node ${process.version}, ${process.platform}`
}
