import { writeSync } from 'node:fs'
import { type FileHandle, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { TextOfSecond } from '../bytes/text-of-second.ts'

const PRIVATE_MODE = 0o600
const LINE_FEED = 0x0a
const TAIL_BYTES = 4 * 1024 * 1024
const FILE_NAME = /^audit-\d{8}\.jsonl$/

/** One file of lines, only ever appended to. After a crash or a failed write it ends with a whole line again. */
class SpoolFile {
  readonly day: string
  readonly #handle: FileHandle
  /** Bytes up to the end of the last whole line. */
  #bytes: number
  #torn = false
  #closing: Promise<void> | undefined

  private constructor(day: string, handle: FileHandle, bytes: number) {
    this.day = day
    this.#handle = handle
    this.#bytes = bytes
  }

  /** Opens or makes the file and cuts off the half line that a crash may have left (FM-F39). */
  static async open(directory: string, day: string): Promise<SpoolFile> {
    const handle = await open(join(directory, `audit-${day}.jsonl`), 'a+', PRIVATE_MODE)
    try {
      await handle.chmod(PRIVATE_MODE)
      const bytes = await wholeLinesBytes(handle)
      await handle.truncate(bytes)
      await syncDirectory(directory)
      return new SpoolFile(day, handle, bytes)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  async append(text: Buffer): Promise<void> {
    if (this.#torn) await this.#handle.truncate(this.#bytes)
    this.#torn = true
    let written = 0
    // Synchronous: an append to the page cache takes 5 µs, its way through Node's thread pool took 12 % of the front's time.
    while (written < text.length) written += writeSync(this.#handle.fd, text, written)
    this.#torn = false
    this.#bytes += text.length
  }

  sync(): Promise<void> {
    return this.#handle.datasync()
  }

  close(): Promise<void> {
    this.#closing ??= this.#handle.close()
    return this.#closing
  }
}

/** The folder of daily files `audit-YYYYMMDD.jsonl` (UTC), mode 0600. One writer. */
export class Spool {
  readonly #directory: string
  readonly #dayOf = new TextOfSecond(dayOf)
  #file: SpoolFile | undefined

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Appends whole lines to the file of that day. When it throws, none of them counts as written. */
  async append(atMs: number, text: Buffer): Promise<SyncedFile> {
    const file = await this.#fileOf(this.#dayOf.at(atMs))
    await file.append(text)
    return file
  }

  async close(): Promise<void> {
    await this.#file?.close()
    this.#file = undefined
  }

  /** Which of the event ids stand near the end of the two newest files. */
  async findRecent(eventIds: readonly string[]): Promise<ReadonlySet<string>> {
    const tail = await this.#tail()
    return new Set(eventIds.filter((eventId) => tail.includes(`"eventID":"${eventId}"`)))
  }

  async #fileOf(day: string): Promise<SpoolFile> {
    if (this.#file?.day === day) return this.#file
    const before = this.#file
    this.#file = await SpoolFile.open(this.#directory, day)
    // What was written to it is safe before it is closed, whoever still waits for that.
    await before?.sync()
    await before?.close()
    return this.#file
  }

  async #tail(): Promise<string> {
    const names = (await readdir(this.#directory)).filter((name) => FILE_NAME.test(name)).sort()
    const tails = names.slice(-2).map((name) => readTail(join(this.#directory, name)))
    return (await Promise.all(tails)).join('')
  }
}

/** What was appended to, so that whoever needs more than a write can wait for the disk. */
export interface SyncedFile {
  sync(): Promise<void>
}

function dayOf(epochMs: number): string {
  return new Date(epochMs).toISOString().slice(0, 10).replaceAll('-', '')
}

/** Length of the file up to its last line feed. */
async function wholeLinesBytes(handle: FileHandle): Promise<number> {
  let end = (await handle.stat()).size
  const chunk = Buffer.alloc(64 * 1024)
  while (end > 0) {
    const start = Math.max(0, end - chunk.length)
    const { bytesRead } = await handle.read(chunk, 0, end - start, start)
    const index = chunk.subarray(0, bytesRead).lastIndexOf(LINE_FEED)
    if (index >= 0) return start + index + 1
    end = start
  }
  return 0
}

async function readTail(path: string): Promise<string> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    const bytes = Math.min(size, TAIL_BYTES)
    const buffer = Buffer.alloc(bytes)
    await handle.read(buffer, 0, bytes, size - bytes)
    return buffer.toString('utf8')
  } finally {
    await handle.close()
  }
}

/** A new file is only there after a power loss when its folder says so. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
