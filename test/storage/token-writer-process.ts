import { createInterface } from 'node:readline'
import { openPostgresStorage } from '../../src/storage/open-storage.ts'

/**
 * A daemon that does on command what a test says, one word a line: `hold` takes the right to write to the token, `write` commits
 * under it, `stop-in-change` stops this process in the middle of a transaction. It answers each with one line.
 */
const storage = await openPostgresStorage({ url: process.argv[2] ?? '' })
const released = Promise.withResolvers<void>()
let held: Parameters<Parameters<typeof storage.withTokenWriteLock>[0]>[0] | undefined

const COMMANDS: Readonly<Record<string, () => Promise<string>>> = {
  hold: () =>
    new Promise((resolve) => {
      void storage.withTokenWriteLock(async (lock) => {
        held = lock
        resolve('held')
        await released.promise
      })
    }),
  'still-held': async () => {
    held?.assertHeld()
    return 'still held'
  },
  write: async () => {
    if (!held) throw new TypeError('hold first')
    return `wrote ${await storage.change((draft) => draft.nextLineage(), { lock: held })}`
  },
  'stop-in-change': async () => {
    await storage.change((draft) => {
      draft.nextLineage()
      process.kill(process.pid, 'SIGSTOP')
    })
    return 'changed'
  },
}

for await (const command of createInterface(process.stdin)) {
  const answer = COMMANDS[command]?.().catch((error: Error) => error.name)
  void answer?.then((text) => console.log(text))
}
