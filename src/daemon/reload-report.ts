/** What came of reading the configuration again. */
export interface ReloadReport {
  /** External key stores that the file declares and storage did not have. */
  readonly made: readonly string[]
  readonly changed: readonly string[]
  /** Options that differ from what the daemon runs with and hold after a restart only. */
  readonly afterRestart: readonly string[]
}
