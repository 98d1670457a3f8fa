import { parentPort, workerData } from 'node:worker_threads'
import { monotonicMs } from './monotonic.ts'

/** What the metronome is told: when to begin (`monotonicMs`), for how long, and how often to beat. */
export interface MetronomeData {
  readonly startMs: number
  readonly endMs: number
  readonly perSecond: number
  readonly arrivals: 'poisson' | 'fixed'
}

// A thread that sleeps exactly and says when each request is due: timers of the event loop know only whole milliseconds.
const { startMs, endMs, perSecond, arrivals } = workerData as MetronomeData
const never = new Int32Array(new SharedArrayBuffer(4))
const gapMs = (): number =>
  (arrivals === 'poisson' ? -Math.log(1 - Math.random()) : 1) * (1000 / perSecond)

for (let dueMs = startMs; dueMs < endMs; dueMs += gapMs()) {
  const leftMs = dueMs - monotonicMs()
  if (leftMs > 0) Atomics.wait(never, 0, 0, leftMs)
  parentPort?.postMessage(dueMs)
}
