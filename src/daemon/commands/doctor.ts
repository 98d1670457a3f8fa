import * as z from 'zod'
import type { Cli, CliSession } from '../cli-session.ts'
import { type AdminCommand, defineCommand } from '../command.ts'
import { type Check, checkInstallation, checkSurroundings } from '../doctor.ts'
import type { Page } from '../page.ts'

/** The half of `doctor` that the process with the installation does; the CLI looks at the rest by itself. */
export const doctorInside: AdminCommand = defineCommand({
  name: 'doctor inside',
  summary: 'checks of the opened installation',
  flags: [],
  where: 'either',
  parameters: z.strictObject({}),
  prepare: () => ({}),
  perform: (installation) => checkInstallation(installation),
  print: printChecks,
  succeeded: allPassed,
})

export function printChecks(checks: readonly Check[], page: Page): void {
  for (const { name, passed, detail, nextStep } of checks) {
    page.check(passed, `${name}: ${detail}`, nextStep)
  }
}

export function allPassed(checks: readonly Check[]): boolean {
  return checks.every(({ passed }) => passed)
}

/** Looks at everything, also when the installation cannot be opened. Exit code 1 when a check failed. */
export function addDoctor(cli: Cli): void {
  cli
    .command('doctor', 'look at everything that must be right, with a next step for what is not')
    .action(() =>
      cli.run(async (session) => {
        const checks = [
          ...(await checkSurroundings(session.around)),
          ...(await insideChecks(session)),
        ]
        session.show(checks, (page) => printChecks(checks, page))
        if (!allPassed(checks)) session.failed()
      }),
    )
}

async function insideChecks(session: CliSession): Promise<readonly Check[]> {
  try {
    return (await session.perform(doctorInside, {})) as readonly Check[]
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    return [{ name: 'installation', passed: false, detail, nextStep: 'correct this first' }]
  }
}
