import type { ConformanceTarget } from './conformance-target.ts'
import { type Fault, faultsOf, NotApplicable } from './nonconformity.ts'
import { ProxyUnderTest } from './proxy-under-test.ts'
import type { Level, Row, Section } from './row.ts'
import { SECTIONS } from './rows/index.ts'

export interface RowResult {
  readonly section: string
  readonly id: string
  readonly level: Level
  readonly title: string
  readonly outcome: 'pass' | 'fail' | 'skip'
  readonly faults: readonly Fault[]
  /** Why a row was skipped. */
  readonly reason?: string
}

/** Milliseconds of the answers, each from its first byte sent. */
export interface Latency {
  readonly requests: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

export interface ConformanceReport {
  readonly endpoint: string
  readonly uriPathPrefix: string
  readonly region: string
  readonly startedAt: string
  readonly results: readonly RowResult[]
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** No MUST failed; with `strict`, nothing did. */
  readonly conforms: boolean
  readonly latency: Latency
}

export interface RunOptions {
  /** Ids of rows, or letters of sections; all without it. */
  readonly only?: readonly string[]
  /** Every failure counts, also of rows that are only our reading. */
  readonly strict?: boolean
  /** Told before each row. */
  onProgress?(done: number, of: number, row: Row): void
}

interface PlannedRow {
  readonly section: Section
  readonly row: Row
}

/** Asks the proxy row by row. Throws Error when `only` names a row that does not exist. */
export async function runConformance(
  target: ConformanceTarget,
  options: RunOptions = {},
): Promise<ConformanceReport> {
  const planned = plan(options.only)
  const proxy = new ProxyUnderTest(target)
  const startedAt = new Date().toISOString()
  try {
    const results = await runRows(planned, proxy, options)
    return {
      endpoint: target.url.origin,
      uriPathPrefix: target.uriPathPrefix,
      region: target.region,
      startedAt,
      results,
      passed: count(results, 'pass'),
      failed: count(results, 'fail'),
      skipped: count(results, 'skip'),
      conforms: results.every((result) => passes(result, options.strict === true)),
      latency: latencyOf(proxy),
    }
  } finally {
    proxy.close()
  }
}

function plan(only: readonly string[] | undefined): PlannedRow[] {
  const all = SECTIONS.flatMap((section) => section.rows.map((row) => ({ section, row })))
  if (only === undefined) return all
  const unknown = only.find((name) => !all.some((it) => isNamed(it, name)))
  if (unknown !== undefined) throw new Error(`there is no row ${unknown}`)
  return all.filter((it) => only.some((name) => isNamed(it, name)))
}

function isNamed({ section, row }: PlannedRow, name: string): boolean {
  return row.id === name || section.letter === name
}

async function runRows(
  planned: readonly PlannedRow[],
  proxy: ProxyUnderTest,
  { onProgress }: RunOptions,
): Promise<RowResult[]> {
  const begun = new Map(
    planned.filter(({ row }) => row.waits).map((it) => [it, runRow(it, proxy)] as const),
  )
  const order = planned.toSorted((a, b) => rank(a) - rank(b))
  const results = new Map<PlannedRow, RowResult>()
  for (const [done, it] of order.entries()) {
    onProgress?.(done, order.length, it.row)
    results.set(it, await (begun.get(it) ?? runRow(it, proxy)))
  }
  return planned.flatMap((it) => results.get(it) ?? [])
}

function rank({ row }: PlannedRow): number {
  return row.last ? 2 : row.waits ? 1 : 0
}

async function runRow({ section, row }: PlannedRow, proxy: ProxyUnderTest): Promise<RowResult> {
  const { id, level, title } = row
  const about = { section: section.name, id, level, title }
  try {
    const faults = await faultsOf(() => row.run(proxy))
    return { ...about, outcome: faults.length === 0 ? 'pass' : 'fail', faults }
  } catch (error) {
    if (!(error instanceof NotApplicable)) throw error
    return { ...about, outcome: 'skip', faults: [], reason: error.message }
  }
}

function passes({ outcome, level }: RowResult, strict: boolean): boolean {
  return outcome !== 'fail' || (!strict && level !== 'MUST')
}

function count(results: readonly RowResult[], wanted: RowResult['outcome']): number {
  return results.filter(({ outcome }) => outcome === wanted).length
}

function latencyOf({ observations }: ProxyUnderTest): Latency {
  const sorted = observations.map(({ answer }) => answer.milliseconds).toSorted((a, b) => a - b)
  const at = (share: number) =>
    Math.round((sorted[Math.ceil(sorted.length * share) - 1] ?? 0) * 100) / 100
  return { requests: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) }
}
