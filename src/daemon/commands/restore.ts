import { resolve } from 'node:path'
import type { Cli } from '../cli-session.ts'
import { restoreDatabase } from '../database-copy.ts'

/** `restore` opens no installation: it exchanges the database below it. */
export function addRestore(cli: Cli): void {
  cli
    .command(
      'restore',
      'put a backup in the place of the database; the replaced one is kept beside it',
    )
    .requiredOption('--from <file>', 'a file that backup wrote')
    .action((options: { from: string }) =>
      cli.run(async (session) => {
        const report = await restoreDatabase(session.around, resolve(options.from))
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
