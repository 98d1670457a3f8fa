import type { Cli, CliSession } from '../cli-session.ts'
import { Daemon } from '../daemon.ts'

export function addServe(cli: Cli): void {
  cli
    .command('serve', 'run the daemon in the foreground; SIGTERM and SIGINT drain it')
    .action(() => cli.run(serve))
}

async function serve(session: CliSession): Promise<void> {
  const { around } = session
  const signal = nextSignal()
  const { daemon, endpoints } = await Daemon.start(around)
  session.show({ ready: true, pid: process.pid, ...endpoints }, (page) =>
    page.line(`ready: kms ${endpoints.kms}, ops ${endpoints.ops}, admin ${endpoints.admin}`),
  )
  try {
    around.logger.info('stopping', { signal: await Promise.race([signal, daemon.failed]) })
  } finally {
    await daemon.stop()
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
