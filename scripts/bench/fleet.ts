import { DaemonUnderTest } from '../../test/support/daemon-under-test.ts'
import { KmsClient } from '../../test/support/kms-client.ts'
import type { KmsRequest } from '../../test/support/kms-request.ts'
import { median } from '../../test/support/percentiles.ts'
import { PostgresServer } from '../../test/support/postgres.ts'
import { childrenOf, cpuUs } from './cpu-time.ts'
import { saturate } from './saturate.ts'

export interface FleetOptions {
  readonly rounds: number
  readonly seconds: number
  readonly connections: number
}

/** Daemons that are measured together, and what they take. */
interface Side {
  readonly name: string
  readonly daemons: readonly DaemonUnderTest[]
  readonly perSecond: number[]
  readonly p50Ms: number[]
  readonly cpuUs: number[]
}

const PLAINTEXT = Buffer.alloc(32, 7).toString('base64')
const DISTINCT_REQUESTS = 100
const OPEN_QUOTAS = { quotas: { requests: { enforce: false } } }

/** Prints SQLite against PostgreSQL, and one daemon against two on one database and one token. */
export async function compareFleets(options: FleetOptions): Promise<void> {
  const server = new PostgresServer()
  const daemons: DaemonUnderTest[] = []
  const start = async (more: { storageUrl?: string; beside?: DaemonUnderTest }) => {
    const daemon = await DaemonUnderTest.start({ config: OPEN_QUOTAS, ...more })
    daemons.push(daemon)
    await daemon.whole()
    return daemon
  }
  try {
    await server.start()
    const storageUrl = await server.createDatabase()
    const sqlite = await start({})
    const postgres = await start({ storageUrl })
    const second = await start({ storageUrl, beside: postgres })
    const pairs = [
      [side('SQLite', [sqlite]), side('PostgreSQL', [postgres])],
      [side('one daemon', [postgres]), side('two daemons', [postgres, second])],
    ] as const
    for (const operation of ['Encrypt', 'CreateKey'] as const)
      for (const pair of pairs) await compare(operation, pair.map(anew) as [Side, Side], options)
  } finally {
    for (const daemon of daemons.toReversed()) await daemon.stop()
    await server.remove()
  }
}

function side(name: string, daemons: readonly DaemonUnderTest[]): Side {
  return { name, daemons, perSecond: [], p50Ms: [], cpuUs: [] }
}

function anew({ name, daemons }: Side): Side {
  return side(name, daemons)
}

/** Both sides in turns, A B A B; figures are medians, the ratio is that of each round. */
async function compare(
  operation: 'Encrypt' | 'CreateKey',
  [one, other]: readonly [Side, Side],
  options: FleetOptions,
): Promise<void> {
  const keyId = await new KmsClient(one.daemons[0]?.endpoint() ?? fail()).createKey()
  const keyOfOther = await new KmsClient(other.daemons[0]?.endpoint() ?? fail()).createKey()
  await new Promise((resolve) => setTimeout(resolve, 3_000)) // every lane has learned of them
  for (let round = 0; round < options.rounds; round++) {
    await measure(operation, one, keyId, options)
    await measure(operation, other, keyOfOther, options)
  }
  const ratios = other.perSecond.map((rate, i) => rate / (one.perSecond[i] ?? NaN))
  console.log(`\n${operation}: ${one.name} against ${other.name}`)
  for (const it of [one, other]) {
    const figures = [median(it.perSecond).toFixed(0), median(it.p50Ms).toFixed(2)]
    console.log(
      `  ${it.name.padEnd(11)} ${figures[0]}/s, p50 ${figures[1]} ms, CPU ${median(it.cpuUs).toFixed(0)} µs a request, all its processes`,
    )
  }
  const [least, most] = [Math.min(...ratios), Math.max(...ratios)].map((it) => it.toFixed(2))
  console.log(
    `  ${other.name} : ${one.name}  median ${median(ratios).toFixed(2)}, ${least} to ${most}`,
  )
}

async function measure(
  operation: 'Encrypt' | 'CreateKey',
  it: Side,
  keyId: string,
  { connections, seconds }: FleetOptions,
): Promise<void> {
  const each = Math.max(1, Math.floor(connections / it.daemons.length))
  const before = cpuOf(it)
  const outcomes = await Promise.all(
    it.daemons.map((daemon) =>
      operation === 'Encrypt'
        ? saturate(
            { endpoint: daemon.endpoint(), requests: encryptions(keyId) },
            { connections: each, seconds },
          )
        : createKeys(daemon, seconds),
    ),
  )
  const requests = outcomes.reduce((sum, { requests: count }) => sum + count, 0)
  it.perSecond.push(outcomes.reduce((sum, { perSecond }) => sum + perSecond, 0))
  it.p50Ms.push(median(outcomes.map(({ p50Ms }) => p50Ms)))
  it.cpuUs.push((cpuOf(it) - before) / requests)
}

/** One key after the other: making keys is serial in the token whoever asks. */
async function createKeys(daemon: DaemonUnderTest, seconds: number) {
  const kms = new KmsClient(daemon.endpoint())
  const took: number[] = []
  const began = performance.now()
  while (performance.now() - began < seconds * 1000) {
    const sent = performance.now()
    await kms.createKey()
    took.push(performance.now() - sent)
  }
  const perSecond = (took.length * 1000) / (performance.now() - began)
  return { requests: took.length, perSecond, p50Ms: median(took) }
}

function encryptions(KeyId: string): KmsRequest[] {
  return Array.from({ length: DISTINCT_REQUESTS }, (_, i) => ({
    operation: 'Encrypt',
    body: { KeyId, Plaintext: PLAINTEXT, EncryptionContext: { request: String(i) } },
  }))
}

function cpuOf({ daemons }: Side): number {
  const pids = daemons.flatMap(({ pid }) => [pid, ...childrenOf(pid)])
  return pids.reduce((sum, pid) => sum + cpuUs(pid), 0)
}

function fail(): never {
  throw new Error('a side has no daemon')
}
