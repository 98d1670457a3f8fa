import * as z from 'zod'
import { type AdminCommand, commandPath } from '../command.ts'
import type { Installation } from '../installation.ts'
import { backupCommand } from './backup.ts'
import { blobInspect } from './blob-inspect.ts'
import { clockAccept } from './clock-accept.ts'
import { doctorInside } from './doctor.ts'
import { keyList } from './key-list.ts'
import { keyShow } from './key-show.ts'
import { keyWhere } from './key-where.ts'
import { principalCreate } from './principal-create.ts'
import { rebuildCommand } from './rebuild.ts'
import { reconcileCommand } from './reconcile.ts'
import { tokenInspect } from './token-inspect.ts'
import { tokenUnlatch } from './token-unlatch.ts'

/** Commands that work on an opened installation. */
export const ADMIN_COMMANDS: readonly AdminCommand[] = [
  principalCreate,
  tokenInspect,
  tokenUnlatch,
  keyList,
  keyShow,
  keyWhere,
  blobInspect,
  reconcileCommand,
  rebuildCommand,
  backupCommand,
  clockAccept,
]

const SERVED: ReadonlyMap<string, AdminCommand> = new Map(
  [...ADMIN_COMMANDS, doctorInside]
    .filter(({ where }) => where === 'either')
    .map((command) => [commandPath(command), command]),
)

/** Does what the administration socket was asked for. Throws Error in words for the operator. */
export async function performCommand(
  installation: Installation,
  path: string,
  given: unknown,
): Promise<unknown> {
  const command = SERVED.get(path)
  if (!command) throw new Error(`the daemon does not know ${path}; is it of another version?`)
  const parameters = command.parameters.safeParse(given)
  if (!parameters.success) throw new Error(z.prettifyError(parameters.error).replaceAll('\n', ' '))
  installation.logger.info('administration', { command: command.name })
  return await command.perform(installation, parameters.data)
}
