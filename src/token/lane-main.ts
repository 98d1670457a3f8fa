import { Socket } from 'node:net'
import { LaneServer } from './lane-server.ts'

/** The socket to the front process, inherited. */
const FRONT_FD = 3

/**
 * Signals that must not reach a lane: SIGUSR1 would open Node's debugger (AT-K03), the others come from a terminal or a
 * supervisor and could end the process inside a login or an object write. The front decides when a lane ends.
 */
const IGNORED_SIGNALS = ['SIGUSR1', 'SIGUSR2', 'SIGINT', 'SIGTERM', 'SIGHUP'] as const

for (const signal of IGNORED_SIGNALS) process.on(signal, () => {})
new LaneServer(new Socket({ fd: FRONT_FD, allowHalfOpen: true }))
