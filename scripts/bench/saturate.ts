import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type LoadTarget, runLoad, wiresOf } from '../../test/support/load-generator.ts'

export interface Saturation {
  readonly requests: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Requests that were not answered with 200. */
  readonly failed: number
}

const SCRIPT = join(import.meta.dirname, 'cycle.lua')

/** Whether wrk is here; without it our own generator sends the load, at more CPU for itself. */
export const hasWrk = succeeds('wrk', ['-v'])

/** As many requests as the server takes over `connections` connections. */
export async function saturate(
  target: LoadTarget,
  { connections, seconds }: { readonly connections: number; readonly seconds: number },
): Promise<Saturation> {
  if (hasWrk) return await runWrk(target, connections, seconds)
  const { sent, ok, perSecond, latencyMs } = await runLoad({ ...target, connections, seconds })
  const { p50, p99 } = latencyMs
  return { requests: sent, perSecond, p50Ms: p50, p99Ms: p99, failed: sent - ok }
}

async function runWrk(
  target: LoadTarget,
  connections: number,
  seconds: number,
): Promise<Saturation> {
  const directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-wrk-'))
  try {
    const file = join(directory, 'requests.lua')
    writeFileSync(file, luaTable(wiresOf(target)))
    const { host, port } = target.endpoint
    const scheme = 'ca' in target.endpoint && target.endpoint.ca !== undefined ? 'https' : 'http'
    const url = `${scheme}://${host}:${port}/`
    const options = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '-s', SCRIPT]
    const { stdout } = await promisify(execFile)('wrk', [...options, url, '--', file])
    const outcome = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as {
      requests: number
      seconds: number
      refused: number
      failed: number
      p50Ms: number
      p99Ms: number
    }
    return {
      requests: outcome.requests,
      perSecond: outcome.requests / outcome.seconds,
      p50Ms: outcome.p50Ms,
      p99Ms: outcome.p99Ms,
      failed: outcome.refused + outcome.failed,
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Lua source of a table of strings, each byte as three digits: none can end a string. */
function luaTable(wires: readonly Buffer[]): string {
  const escaped = (byte: number): string => `\\${String(byte).padStart(3, '0')}`
  const strings = wires.map((wire) => `"${[...wire].map(escaped).join('')}"`)
  return `return {\n${strings.join(',\n')}\n}\n`
}

function succeeds(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT' // wrk -v ends with 1
  }
}
