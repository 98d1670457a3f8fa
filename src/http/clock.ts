/** Wall-clock time in epoch milliseconds; `Date` is one. */
export interface Clock {
  now(): number
}
