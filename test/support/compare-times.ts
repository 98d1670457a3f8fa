import type { SeededRandom } from './seeded-random.ts'

export interface TimesToCompare {
  /** Two ways to be refused that should cost the same. */
  readonly a: () => Promise<void>
  readonly b: () => Promise<void>
  readonly pairs: number
  readonly random: SeededRandom
}

export interface TimeComparison {
  /** Welch's t of b against a: beyond ±4.5 they differ, one time in 150,000 by chance. */
  readonly t: number
  /** By how much the mean of b is above that of a. */
  readonly differenceMicroseconds: number
  readonly standardErrorMicroseconds: number
  /** Of a, to know what the difference is a part of. */
  readonly meanMicroseconds: number
}

const WARM_UP_PAIRS = 2_000
/** The slowest samples show garbage collection and the other tenants of the machine. */
const KEPT = 0.9

/** Times pairs of calls, which comes first in a pair being drawn, so that whatever drifts meets both alike. */
export async function compareTimes(compared: TimesToCompare): Promise<TimeComparison> {
  const { a, b, pairs, random } = compared
  const [ofA, ofB] = [new Float64Array(pairs), new Float64Array(pairs)]
  for (let i = -Math.min(WARM_UP_PAIRS, pairs); i < pairs; i += 1) {
    const aFirst = random.next() < 0.5
    const first = await microsecondsOf(aFirst ? a : b)
    const second = await microsecondsOf(aFirst ? b : a)
    if (i < 0) continue
    ofA[i] = aFirst ? first : second
    ofB[i] = aFirst ? second : first
  }
  const limit = quantile([...ofA, ...ofB], KEPT)
  return welch(
    ofA.filter((it) => it <= limit),
    ofB.filter((it) => it <= limit),
  )
}

async function microsecondsOf(work: () => Promise<void>): Promise<number> {
  const from = process.hrtime.bigint()
  await work()
  return Number(process.hrtime.bigint() - from) / 1000
}

/** Welch's t-test of two samples whose variances may differ. */
export function welch(a: Float64Array, b: Float64Array): TimeComparison {
  const [meanOfA, meanOfB] = [mean(a), mean(b)]
  const error = Math.sqrt(variance(a, meanOfA) / a.length + variance(b, meanOfB) / b.length)
  return {
    t: (meanOfB - meanOfA) / error,
    differenceMicroseconds: meanOfB - meanOfA,
    standardErrorMicroseconds: error,
    meanMicroseconds: meanOfA,
  }
}

function mean(values: Float64Array): number {
  return values.reduce((sum, it) => sum + it, 0) / values.length
}

function variance(values: Float64Array, around: number): number {
  return values.reduce((sum, it) => sum + (it - around) ** 2, 0) / (values.length - 1)
}

function quantile(values: readonly number[], part: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.floor(part * (sorted.length - 1))] ?? Number.NaN
}
