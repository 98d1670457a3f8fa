import { askDaemon } from '../admin-client.ts'
import type { Cli, CliSession } from '../cli-session.ts'
import { Daemon } from '../daemon.ts'
import type { Surroundings } from '../installation.ts'

export function addServe(cli: Cli): void {
  cli
    .command('serve', 'run the daemon in the foreground; SIGTERM and SIGINT drain it')
    .action(() => cli.run(serve))
}

async function serve(session: CliSession): Promise<void> {
  const { around } = session
  const signal = nextSignal()
  const waiting = new AbortController()
  void signal.then(() => waiting.abort())
  const started = await startUnless(waiting.signal, around)
  if (!started) return
  const { daemon, endpoints } = started
  process.on('SIGHUP', () => void reload(around))
  const xks = endpoints.xks === undefined ? '' : ` xks ${endpoints.xks},`
  session.show({ ready: true, pid: process.pid, ...endpoints }, (page) =>
    page.line(`ready: kms ${endpoints.kms},${xks} ops ${endpoints.ops}, admin ${endpoints.admin}`),
  )
  try {
    around.logger.info('stopping', { signal: await Promise.race([signal, daemon.failed]) })
  } finally {
    await daemon.stop()
  }
}

/** A signal says the same as `hsm-bridge reload`; the answer is in the log. */
async function reload({ config, logger }: Surroundings): Promise<void> {
  try {
    await askDaemon(config.state.adminSocket, 'reload', {})
  } catch (error) {
    logger.error('the configuration stays as it was', { error })
  }
}

/** Nothing when a signal came before the database answered. */
async function startUnless(stop: AbortSignal, around: Surroundings) {
  try {
    return await Daemon.start(around, stop)
  } catch (error) {
    if (stop.aborted && error instanceof Error && error.name === 'AbortError') return undefined
    throw error
  }
}

/** The first signal drains; a second one finds nobody listening and ends the process as signals do. */
function nextSignal(): Promise<NodeJS.Signals> {
  process.on('SIGUSR1', () => {}) // AT-K03: else Node opens a debugger on it
  process.on('SIGHUP', () => {}) // a closed terminal is no reason to stop
  return new Promise((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve(name))
  })
}
