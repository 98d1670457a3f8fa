import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findAwsCredentials } from '../../src/daemon/aws-profile.ts'
import { type StateDirectory, stateDirectory } from '../../src/daemon/state-directory.ts'
import type { KmsEndpoint } from '../../test/support/kms-request.ts'
import { childrenOf, cpuUs } from './cpu-time.ts'
import { freePort } from '../../test/support/free-port.ts'

const LAUNCHER = join(import.meta.dirname, '..', 'hsm-bridge')
const REGION = 'us-east-1'
const READY_MS = 60_000
const SETTLE_MS = 30_000
const IDLE = { windowMs: 500, cpuUs: 20_000 }

/** A daemon on a state directory, as an operator would start it. */
export interface BenchDaemon {
  readonly endpoint: KmsEndpoint
  readonly state: StateDirectory
  readonly configPath: string
  /** Milliseconds from the spawn to the first 200 of /readyz. */
  readonly readyMs: number
  /** The front process, then its lanes. */
  pids(): number[]
  /** Waits until front and lanes have nothing left to do; says so when they still have after a while. */
  settled(): Promise<void>
  stop(): Promise<void>
}

/** Starts `hsm-bridge serve` and waits for /readyz; an empty state directory is initialised by it. */
export async function startBenchDaemon(
  directory: string,
  moreLines: readonly string[] = [],
): Promise<BenchDaemon> {
  const [kms, ops] = [await freePort(), await freePort()]
  const config = `${directory}.bench.yaml`
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const lines = [
    `region: ${REGION}`,
    `kms: {listen: "127.0.0.1:${kms}"}`,
    `ops: {listen: "127.0.0.1:${ops}"}`,
    'log: {level: warn}',
    ...moreLines,
  ]
  writeFileSync(config, `${lines.join('\n')}\n`, { mode: 0o600 })
  const began = performance.now()
  const child = spawn(LAUNCHER, ['serve', '--config', config, '--state', directory], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  await ready(child, `http://127.0.0.1:${ops}/readyz`)
  const readyMs = performance.now() - began
  const state = stateDirectory(directory)
  const key = findAwsCredentials(state)
  if (!key) throw new Error(`there are no credentials in ${directory}`)
  const pid = child.pid as number
  return {
    state,
    configPath: config,
    readyMs,
    endpoint: {
      host: '127.0.0.1',
      port: kms,
      region: REGION,
      accessKeyId: key.accessKeyId,
      secretAccessKey: key.secretAccessKey.reveal(),
    },
    pids: () => [pid, ...childrenOf(pid)],
    settled: () => settled(pid),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGTERM')
      await once(child, 'exit')
    },
  }
}

/** The serial of the embedded token, as `init` wrote it. */
export function tokenSerial(state: StateDirectory): string {
  return readFileSync(join(state.softHsm.directory, 'serial'), 'utf8').trim()
}

async function ready(child: ChildProcess, url: string): Promise<void> {
  const giveUp = performance.now() + READY_MS
  while (performance.now() < giveUp) {
    if (child.exitCode !== null) throw new Error(`the daemon ended with code ${child.exitCode}`)
    const status = await fetch(url).then(
      (reply) => reply.status,
      () => undefined,
    )
    if (status === 200) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  child.kill('SIGTERM')
  throw new Error(`the daemon was not ready after ${READY_MS / 1000} s`)
}

/** Lanes beyond the first start behind /readyz, and at many keys each works for seconds. */
async function settled(pid: number): Promise<void> {
  const used = (): number => [pid, ...childrenOf(pid)].map(cpuUs).reduce((sum, us) => sum + us, 0)
  const giveUp = performance.now() + SETTLE_MS
  while (performance.now() < giveUp) {
    const before = used()
    await new Promise((resolve) => setTimeout(resolve, IDLE.windowMs))
    if (Math.abs(used() - before) < IDLE.cpuUs) return
  }
  console.error(`the daemon is still busy with itself after ${SETTLE_MS / 1000} s`)
}
