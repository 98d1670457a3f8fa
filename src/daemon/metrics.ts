import { Counter, type CounterConfiguration, Gauge, Histogram, Registry } from 'prom-client'
import type { FaceMetrics, XksFaceMetrics } from '../http/face-metrics.ts'
import type { TokenPoolStatus } from '../token/token-pool.ts'
import type { ChangesNow } from './change-gate.ts'

/** Whether a lane pool serves, as one number per state that it can be in. */
const POOL_STATES = ['starting', 'serving', 'degraded', 'down', 'latched', 'stopped'] as const
const ROLES = ['hot', 'spare', 'cold'] as const

/** What Prometheus may read. No key id, account or caller is a label: their number has no bound. */
export class Metrics {
  readonly #registry = new Registry()
  /** The hooks of the faces: once per request, after the answer. */
  readonly kms = traffic(this.#registry, 'hsm_bridge', 'KMS')
  readonly xks = xksTraffic(this.#registry)
  readonly #notices = new Counter({
    name: 'hsm_bridge_warnings_total',
    help: 'Things that the key rules want an operator to look at, such as a material near its encryption limit; see the log.',
    registers: [this.#registry],
  })
  readonly #ready = new Gauge({
    name: 'hsm_bridge_ready',
    help: '1 when the last readiness check passed.',
    registers: [this.#registry],
  })

  constructor(
    pool: () => TokenPoolStatus | undefined,
    databaseAnswers: () => boolean,
    changesNow: () => ChangesNow,
  ) {
    new Gauge({
      name: 'hsm_bridge_read_only',
      help: '1 while changes are refused because the database is older than the token.',
      registers: [this.#registry],
      collect() {
        this.set(changesNow() === 'refused' ? 1 : 0)
      },
    })
    new Gauge({
      name: 'hsm_bridge_changes_waiting',
      help: '1 after a start while changes wait for the comparison of database and token; keys are used meanwhile.',
      registers: [this.#registry],
      collect() {
        this.set(changesNow() === 'waiting' ? 1 : 0)
      },
    })
    new Gauge({
      name: 'hsm_bridge_database_up',
      help: '1 while the database answers; at 0 keys are used and changes are refused.',
      registers: [this.#registry],
      collect() {
        this.set(databaseAnswers() ? 1 : 0)
      },
    })
    new Gauge({
      name: 'hsm_bridge_lanes',
      help: 'Lanes by role.',
      labelNames: ['role'],
      registers: [this.#registry],
      collect() {
        for (const role of ROLES) {
          this.set({ role }, pool()?.lanes.filter((lane) => lane.role === role).length ?? 0)
        }
      },
    })
    new Gauge({
      name: 'hsm_bridge_lanes_in_rotation',
      help: 'Hot lanes that requests are given to.',
      registers: [this.#registry],
      collect() {
        this.set(pool()?.inRotation ?? 0)
      },
    })
    new Gauge({
      name: 'hsm_bridge_lanes_replaced',
      help: 'Lanes replaced since the start.',
      registers: [this.#registry],
      collect() {
        this.set(pool()?.replaced ?? 0)
      },
    })
    new Gauge({
      name: 'hsm_bridge_token_state',
      help: '1 for the state that the token is in.',
      labelNames: ['state'],
      registers: [this.#registry],
      collect() {
        for (const state of POOL_STATES) this.set({ state }, pool()?.state === state ? 1 : 0)
      },
    })
    new Gauge({
      name: 'hsm_bridge_resident_bytes',
      help: 'Resident memory of the front process.',
      registers: [this.#registry],
      collect() {
        this.set(process.memoryUsage.rss())
      },
    })
  }

  noteNotice(): void {
    this.#notices.inc()
  }

  noteReadiness(ready: boolean): void {
    this.#ready.set(ready ? 1 : 0)
  }

  text(): Promise<string> {
    return this.#registry.metrics()
  }
}

function xksTraffic(registry: Registry): XksFaceMetrics {
  const replays = new Tally({
    name: 'hsm_bridge_xks_replays_total',
    help: 'Authenticated requests to the XKS face that came again while their signature was good.',
    labelNames: ['store'],
    registers: [registry],
  })
  const { observe } = traffic(registry, 'hsm_bridge_xks', 'XKS')
  return { observe, observeReplay: (store) => replays.add(store) }
}

function traffic(registry: Registry, prefix: string, face: string): FaceMetrics {
  const requests = new Tally({
    name: `${prefix}_requests_total`,
    help: `Requests to the ${face} face.`,
    labelNames: ['operation', 'outcome'],
    registers: [registry],
  })
  const took = new Histogram({
    name: `${prefix}_request_seconds`,
    help: 'Time from the first byte read to the answer written.',
    labelNames: ['operation'],
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 1, 5],
    registers: [registry],
  })
  return {
    observe(operation, outcome, seconds) {
      requests.add(operation, outcome)
      took.observe({ operation }, seconds)
    },
  }
}

/** A counter of what happens with every request: counted in a map, and told to prom-client, which takes longer, when somebody reads. */
class Tally {
  /** By the values of the labels, one level for each. */
  readonly #counts = new Map<string, Map<string, number>>()

  /** With one label, or two. */
  constructor(options: CounterConfiguration<string>) {
    const counts = this.#counts
    const [first = '', second] = options.labelNames ?? []
    new Counter({
      ...options,
      collect() {
        for (const [one, row] of counts)
          for (const [other, count] of row)
            this.inc({ [first]: one, ...(second !== undefined && { [second]: other }) }, count)
        counts.clear()
      },
    })
  }

  add(first: string, second = ''): void {
    let row = this.#counts.get(first)
    if (!row) {
      row = new Map()
      this.#counts.set(first, row)
    }
    row.set(second, (row.get(second) ?? 0) + 1)
  }
}
