import type { Kms } from '../kms/kms.ts'
import { OPERATIONS } from '../kms/operations/index.ts'

/** Whether keys can be changed now: `waiting` until database and token are compared, `refused` on one that is older than it. */
export type ChangesNow = 'open' | 'waiting' | 'refused'

/** How long a change waits for the comparison of database and token. */
export const COMPARING_MS = 25_000

/**
 * Lets uses pass at once, and changes wait, for a while, until it is known whether this database is older than the token
 * (FM-F30): comparing takes 9 s at 10,000 keys. Storage refuses them afterwards if it is.
 */
export function holdChanges(kms: Kms, checked: Promise<unknown>): Kms {
  let open = false
  void checked.then(
    () => (open = true),
    () => (open = true),
  )
  return {
    perform: async (request) => {
      const changes = OPERATIONS.get(request.operation)?.readOnly === false
      if (!open && changes) await atMost(checked, COMPARING_MS)
      return await kms.perform(request)
    },
  }
}

/** Resolves when the promise settles, well or badly, or the time is over. */
export async function atMost(promise: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const timeUp = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([promise.catch(() => undefined), timeUp])
  clearTimeout(timer)
}
