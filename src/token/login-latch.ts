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
}

/**
 * One login attempt per PIN (ARCH-D4): after a refused login the latch stays closed across restarts, because real HSMs lock
 * the PIN after a few attempts and a supervisor restarts for ever. A changed PIN, or `open`, lets the next attempt through.
 */
export class LoginLatch {
  readonly #directory: string
  readonly #fingerprintKey: Sensitive<Buffer>

  /** `fingerprintKey` is a secret of this host; `directory` must survive restarts. */
  constructor(directory: string, fingerprintKey: Sensitive<Buffer>) {
    this.#directory = directory
    this.#fingerprintKey = fingerprintKey
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  }

  /** Why no login may be tried with this PIN, or undefined when one may. */
  refusal(tokenSerial: string, pin: Sensitive<string>): string | undefined {
    const closed = this.#read(tokenSerial)
    if (!closed || closed.fingerprint !== this.#fingerprint(tokenSerial, pin)) return undefined
    return `${closed.reason} at ${closed.closedAt}; change the PIN or run: hsm-bridge token unlatch`
  }

  isClosed(tokenSerial: string): boolean {
    return this.#read(tokenSerial) !== undefined
  }

  /** Closes the latch for this PIN; on disk before it returns. */
  close(tokenSerial: string, pin: Sensitive<string>, reason: string): void {
    const latch: ClosedLatch = {
      fingerprint: this.#fingerprint(tokenSerial, pin),
      reason,
      closedAt: new Date().toISOString(),
    }
    writeDurably(this.#path(tokenSerial), JSON.stringify(latch))
  }

  /** True when there was a latch to open. */
  open(tokenSerial: string): boolean {
    const path = this.#path(tokenSerial)
    const wasClosed = existsSync(path)
    rmSync(path, { force: true })
    return wasClosed
  }

  #read(tokenSerial: string): ClosedLatch | undefined {
    const path = this.#path(tokenSerial)
    return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as ClosedLatch) : undefined
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
