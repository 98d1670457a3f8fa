/** How well a token serves (XKS H-09). */
export type HealthStatus = 'ACTIVE' | 'DEGRADED' | 'UNAVAILABLE'

/** One token as GetHealthStatus reports it. `id` and `model` are printable ASCII. */
export interface KeyManagerHealth {
  readonly id: string
  /** Name and hardware version (XKS H-10). */
  readonly model: string
  readonly healthStatus: HealthStatus
}

/** What is known of the tokens right now, from memory: an answer takes no token call and no time (XKS H-05, XKS H-12). */
export interface HealthReport {
  /** Worst first, one to ten. A result older than 60 s is UNAVAILABLE. */
  keyManagers(): readonly KeyManagerHealth[]
}
