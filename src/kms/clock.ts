/** Time, as far as the rules need it. Tests bring their own. */
export interface Clock {
  /** Wall clock in epoch milliseconds; an operator or NTP may move it either way. */
  now(): number
  /** Milliseconds since some fixed moment of this process; never goes back and knows no jumps. */
  uptime(): number
}

export const systemClock: Clock = {
  now: () => Date.now(),
  uptime: () => performance.now(),
}
