import type { ProxyUnderTest } from './proxy-under-test.ts'

/**
 * How binding a row is. `ours`: the specification leaves it open, this is how we read it, and other proxies may differ.
 * What AWS's own test client insists on counts as MUST.
 */
export type Level = 'MUST' | 'SHOULD' | 'MAY' | 'ours'

/** One requirement, and how to ask for it. */
export interface Row {
  /** Rows of one id belong together; `--only` takes it. */
  readonly id: string
  readonly level: Level
  readonly title: string
  /** It mostly waits: begun before the others. */
  readonly waits?: true
  /** It looks at what the others saw, so it runs behind them. */
  readonly last?: true
  /** Throws Nonconformity when the row does not hold, NotApplicable when it cannot be asked. */
  run(proxy: ProxyUnderTest): Promise<void>
}

/** Rows about one part of the specification. */
export interface Section {
  readonly letter: string
  readonly name: string
  readonly rows: readonly Row[]
}
