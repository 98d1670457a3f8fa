import { type AdminCommand, checkedParameters, commandPath } from '../command.ts'
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
import { reloadCommand } from './reload.ts'
import { tokenUnlatch } from './token-unlatch.ts'
import { XKS_CREDENTIAL_COMMANDS } from './xks-credential.ts'
import { xksDoctor } from './xks-doctor.ts'
import { XKS_KEY_COMMANDS } from './xks-key.ts'
import { XKS_STORE_COMMANDS } from './xks-store.ts'

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
  reloadCommand,
  ...XKS_STORE_COMMANDS,
  ...XKS_KEY_COMMANDS,
  ...XKS_CREDENTIAL_COMMANDS,
  xksDoctor,
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
  const parameters = checkedParameters(command, given)
  installation.logger.info('administration', { command: command.name })
  return await command.perform(installation, parameters)
}
