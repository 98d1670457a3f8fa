import { createHmac } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Sensitive } from '../bytes/sensitive.ts'

/** What a closed latch remembers. The fingerprint is keyed, so that the file gives no handle for guessing the PIN. */
interface ClosedLatch {
  readonly fingerprint: string
  readonly reason: string
  readonly closedAt: string
  /** It was told to the board: if it does not stand there any more, somebody has opened it. */
  readonly isTold?: boolean
}

/** Where the hosts that use one token tell each other of a refused login; what stands there is the latch's own. */
export interface LatchBoard {
  find(tokenSerial: string): unknown
  /** undefined takes it away. */
  put(tokenSerial: string, latch: unknown): Promise<void>
}

/**
 * One login attempt per PIN (ARCH-D4): after a refused login the latch stays closed across restarts, because real HSMs lock
 * the PIN after a few attempts and a supervisor restarts for ever. A changed PIN, or `open`, lets the next attempt through. Hosts
 * with one fingerprint key and one board have one latch.
 */
export class LoginLatch {
  readonly #directory: string
  readonly #fingerprintKey: Sensitive<Buffer>
  readonly #board: LatchBoard | undefined
  #telling: Promise<void> = Promise.resolve()

  /** `fingerprintKey` is a secret of the hosts; `directory` must survive restarts. */
  constructor(directory: string, fingerprintKey: Sensitive<Buffer>, board?: LatchBoard) {
    this.#directory = directory
    this.#fingerprintKey = fingerprintKey
    this.#board = board
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  }

  /** Why no login may be tried with this PIN, or undefined when one may. */
  refusal(tokenSerial: string, pin: Sensitive<string>): string | undefined {
    const fingerprint = this.#fingerprint(tokenSerial, pin)
    const closed = this.#closed(tokenSerial).find((latch) => latch.fingerprint === fingerprint)
    if (!closed) return undefined
    return `${closed.reason} at ${closed.closedAt}; change the PIN or run: hsm-bridge token unlatch`
  }

  isClosed(tokenSerial: string): boolean {
    return this.#closed(tokenSerial).length > 0
  }

  /** Closes the latch for this PIN; on disk before it returns, on the board soon after. */
  close(tokenSerial: string, pin: Sensitive<string>, reason: string): void {
    const latch: ClosedLatch = {
      fingerprint: this.#fingerprint(tokenSerial, pin),
      reason,
      closedAt: new Date().toISOString(),
    }
    writeDurably(this.#path(tokenSerial), JSON.stringify(latch))
    this.#tell(tokenSerial, latch)
  }

  /** True when there was a latch to open. */
  open(tokenSerial: string): boolean {
    const wasClosed = this.isClosed(tokenSerial)
    rmSync(this.#path(tokenSerial), { force: true })
    this.#tell(tokenSerial, undefined)
    return wasClosed
  }

  /** Resolves when the board has been told of everything; rejects when that failed. */
  told(): Promise<void> {
    return this.#telling
  }

  /** What closes it: the file of this host, and the board of all. */
  #closed(tokenSerial: string): ClosedLatch[] {
    const path = this.#path(tokenSerial)
    const onBoard = this.#board?.find(tokenSerial) as ClosedLatch | undefined
    const here = existsSync(path)
      ? (JSON.parse(readFileSync(path, 'utf8')) as ClosedLatch)
      : undefined
    const openedElsewhere = here?.isTold === true && onBoard?.fingerprint !== here.fingerprint
    return [openedElsewhere ? undefined : here, onBoard].filter((latch) => latch !== undefined)
  }

  #tell(tokenSerial: string, latch: ClosedLatch | undefined): void {
    const board = this.#board
    if (!board) return
    this.#telling = this.#telling
      .catch(() => undefined)
      .then(async () => {
        await board.put(tokenSerial, latch)
        if (latch && existsSync(this.#path(tokenSerial)))
          writeDurably(this.#path(tokenSerial), JSON.stringify({ ...latch, isTold: true }))
      })
    this.#telling.catch(() => undefined) // whoever needs to know asks `told`
  }

  #path(tokenSerial: string): string {
    const name = Buffer.from(tokenSerial, 'utf8').toString('base64url') // a serial may hold any character
    return join(this.#directory, `login-${name}.json`)
  }

  #fingerprint(tokenSerial: string, pin: Sensitive<string>): string {
    return createHmac('sha256', this.#fingerprintKey.reveal())
      .update(`hsm-bridge login latch\0${tokenSerial}\0${pin.reveal()}`)
      .digest('hex')
  }
}

function writeDurably(path: string, text: string): void {
  const next = `${path}.next`
  const file = openSync(next, 'w', 0o600)
  writeSync(file, text)
  fsyncSync(file)
  closeSync(file)
  chmodSync(next, 0o600)
  renameSync(next, path)
  const directory = openSync(join(path, '..'), 'r')
  fsyncSync(directory)
  closeSync(directory)
}
