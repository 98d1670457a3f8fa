import { resolve } from 'node:path'
import type { Cli, CliSession } from '../cli-session.ts'
import { finishPostgresRestore, type RestoreReport, restoreDatabase } from '../database-copy.ts'

/** `restore` opens no installation: it exchanges the database below it. */
export function addRestore(cli: Cli): void {
  cli
    .command(
      'restore',
      'put a backup in the place of the database; the replaced one is kept beside it',
    )
    .option('--from <file>', 'a file that backup wrote')
    .option('--after-pg-restore', 'PostgreSQL: a dump was put back just now; do what remains')
    .action((options: { from?: string; afterPgRestore?: boolean }) =>
      cli.run(async (session) => {
        const report = await restored(session, options)
        session.show(report, (page) => {
          page.line(
            `The database is now the one of token write ${report.lineage}, with ${report.keys} key(s).`,
          )
          if (report.replaced !== undefined) page.line(`The replaced one is ${report.replaced}.`)
          page.line(
            'If the token has seen more writes since, the daemon starts read-only: hsm-bridge rebuild',
          )
        })
      }),
    )
}

async function restored(
  { around }: CliSession,
  { from, afterPgRestore }: { from?: string; afterPgRestore?: boolean },
): Promise<RestoreReport> {
  if (afterPgRestore) return await finishPostgresRestore(around)
  if (from === undefined) throw new Error('restore needs --from <file>, or --after-pg-restore')
  return await restoreDatabase(around, resolve(from))
}
