/** What a set of latencies looks like; every figure is one of the samples (nearest rank), NaN when there is none. */
export interface Percentiles {
  readonly count: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

export function percentiles(samples: Iterable<number>): Percentiles {
  const sorted = Float64Array.from(samples).sort()
  const rank = (perMille: number): number =>
    sorted[Math.max(0, Math.ceil((perMille * sorted.length) / 1000) - 1)] ?? Number.NaN
  return {
    count: sorted.length,
    p50: rank(500),
    p90: rank(900),
    p99: rank(990),
    p999: rank(999),
    max: rank(1000),
  }
}

/** The middle of a few figures; the mean of the two middle ones when their number is even. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  if (sorted.length % 2 === 1) return sorted[Math.floor(middle)] ?? Number.NaN
  return ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}
