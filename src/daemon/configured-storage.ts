import { hostname } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import type { Sensitive } from '../bytes/sensitive.ts'
import { openPostgresStorage, openStorage } from '../storage/open-storage.ts'
import { DatabaseAway } from '../storage/postgres-connections.ts'
import type { Storage } from '../storage/storage.ts'
import type { Config } from './config.ts'
import type { Logger } from './log.ts'

interface Around {
  readonly config: Config
  readonly logger: Logger
}

/** Who waits for a database that does not answer, and for how long. */
export interface Patience {
  /** Ends the waiting. */
  readonly signal: AbortSignal
  /** Hears every reason to go on waiting. */
  readonly onWait: (reason: string) => void
}

const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 5_000
const TELL_AGAIN_MS = 60_000

/** The storage that the configuration names. `heardOfMaterial` is called when another daemon has made key material. */
export async function openConfiguredStorage(
  around: Around,
  heardOfMaterial: () => void,
  patience: Patience | undefined,
): Promise<Storage> {
  const { databaseUrl, databasePath } = around.config
  if (!databaseUrl) return await openStorage({ path: databasePath })
  const open = () => openPostgres(databaseUrl, around, heardOfMaterial)
  return patience ? await openPatiently(open, around.logger, patience) : await open()
}

function openPostgres(
  url: Sensitive<string>,
  { config, logger }: Around,
  heardOfMaterial: () => void,
): Promise<Storage> {
  return openPostgresStorage({
    url: url.reveal(),
    daemon: `${hostname()}:${config.state.path}`,
    events: {
      connected: (isConnected, reason) => {
        if (isConnected) logger.info('the database answers again')
        else logger.error('the database is away: keys are used, changes are refused', { reason })
      },
      changed: (changes) => {
        if (changes.some((change) => change.kind === 'material' && change.isNew)) heardOfMaterial()
      },
    },
  })
}

/** Tries again, ever slower, until the database answers; what no waiting cures is thrown at once. */
async function openPatiently(
  open: () => Promise<Storage>,
  logger: Logger,
  { signal, onWait }: Patience,
): Promise<Storage> {
  let told: { reason: string; at: number } | undefined
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
    try {
      return await open()
    } catch (error) {
      if (!(error instanceof DatabaseAway)) throw error
      const reason = error.message
      onWait(reason)
      if (told?.reason !== reason || Date.now() - told.at > TELL_AGAIN_MS) {
        told = { reason, at: Date.now() }
        logger.error('waiting for the database', { reason, nextTryMs: waitMs })
      }
    }
    await pause(waitMs, undefined, { signal })
  }
}
