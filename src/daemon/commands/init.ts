import type { Cli } from '../cli-session.ts'
import { initialise, type InitReport } from '../initialise.ts'
import type { Page } from '../page.ts'
import { DAEMON_PURPOSE, findLockHolder } from '../state-lock.ts'

export function addInit(cli: Cli): void {
  cli
    .command(
      'init',
      'make state directory, token (the embedded one), canary, owner record and administrator',
    )
    .option('--account <id>', 'account of the administrator, 12 digits')
    .action((options: { account?: string }) =>
      cli.run(async (session) => {
        const { config } = session.around
        const holder = findLockHolder(config.state.lock)
        if (holder?.purpose === DAEMON_PURPOSE) {
          session.show({ made: [], daemonPid: holder.pid }, (page) =>
            page.line(
              `${config.state.path} is in use by the daemon (pid ${holder.pid}): nothing to make.`,
            ),
          )
          return
        }
        const accountId = options.account ?? config.accountId
        const report = await initialise({ ...session.around, config: { ...config, accountId } })
        session.show(report, (page) => printInit(report, page))
      }),
    )
}

export function printInit(report: InitReport, page: Page): void {
  const { made, tokenSerial, stateDirectory, awsCredentials, awsConfig, endpoint } = report
  page.line(
    made.length === 0
      ? `${stateDirectory} is complete.`
      : `${stateDirectory}: made ${made.join(', ')}.`,
  )
  page.line(
    `Token ${tokenSerial}${report.embedded ? ' (SoftHSM2: for trying out, no hardware boundary)' : ''}`,
  )
  page.line('Start it:  hsm-bridge serve')
  page.line(
    `Call it:   export AWS_CONFIG_FILE=${awsConfig} AWS_SHARED_CREDENTIALS_FILE=${awsCredentials}`,
  )
  page.line(`           aws --profile hsm-bridge --endpoint-url ${endpoint} kms create-key`)
}
