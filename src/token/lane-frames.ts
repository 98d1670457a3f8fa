import {
  REQUEST_HEADER_BYTES,
  RESPONSE_HEADER_BYTES,
  STATUS_ERROR,
  STATUS_OK,
} from './lane-protocol.ts'

const LENGTH_BYTES = 4
/** Far above any call of ours; a longer frame means that the two ends no longer understand each other. */
const MAX_FRAME_BYTES = 16 * 1024 * 1024

/** One request as it lies in the received bytes: `payload` shares their memory, and `wipe` clears it. */
export interface RequestFrame {
  readonly id: number
  readonly callNumber: number
  readonly deadlineAt: number
  readonly payload: Buffer
  wipe(): void
}

/** Cuts the byte stream of the socket into requests. */
export class RequestReader {
  #unread: Buffer = Buffer.alloc(0)

  /** The requests that `chunk` completes. Throws RangeError for a length that no request of ours has. */
  read(chunk: Buffer): RequestFrame[] {
    const bytes = this.#append(chunk)
    const frames: RequestFrame[] = []
    let offset = 0
    while (bytes.length - offset >= LENGTH_BYTES) {
      const end = offset + LENGTH_BYTES + lengthAt(bytes, offset)
      if (end > bytes.length) break
      frames.push(requestFrame(bytes.subarray(offset, end)))
      offset = end
    }
    this.#unread = offset === bytes.length ? Buffer.alloc(0) : moved(bytes.subarray(offset))
    return frames
  }

  #append(chunk: Buffer): Buffer {
    if (this.#unread.length === 0) return chunk
    const joined = Buffer.concat([this.#unread, chunk])
    this.#unread.fill(0)
    chunk.fill(0)
    return joined
  }
}

function lengthAt(bytes: Buffer, offset: number): number {
  const length = bytes.readUInt32BE(offset)
  if (length < REQUEST_HEADER_BYTES - LENGTH_BYTES || length > MAX_FRAME_BYTES)
    throw new RangeError(`a frame of ${length} bytes`)
  return length
}

function requestFrame(frame: Buffer): RequestFrame {
  return {
    id: frame.readUInt32BE(4),
    callNumber: frame.readUInt8(8),
    deadlineAt: frame.readDoubleBE(9),
    payload: frame.subarray(REQUEST_HEADER_BYTES),
    wipe: () => frame.fill(0),
  }
}

/** The rest of a chunk may hold half a plaintext: it moves out of the pooled memory that the chunk lies in. */
function moved(rest: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(rest.length)
  rest.copy(copy)
  rest.fill(0)
  return copy
}

/** A reply on its way out. */
export interface Reply {
  readonly id: number
  readonly ok: boolean
  readonly payload: Buffer
}

/** All replies as one run of bytes, in memory outside Node's pool because it may hold plaintext; the payloads are wiped. */
export function replyBytes(replies: readonly Reply[]): Buffer {
  let total = 0
  for (const { payload } of replies) total += RESPONSE_HEADER_BYTES + payload.length
  const bytes = Buffer.allocUnsafeSlow(total)
  let offset = 0
  for (const { id, ok, payload } of replies) {
    bytes.writeUInt32BE(RESPONSE_HEADER_BYTES - LENGTH_BYTES + payload.length, offset)
    bytes.writeUInt32BE(id, offset + 4)
    bytes.writeUInt8(ok ? STATUS_OK : STATUS_ERROR, offset + 8)
    payload.copy(bytes, offset + RESPONSE_HEADER_BYTES)
    payload.fill(0)
    offset += RESPONSE_HEADER_BYTES + payload.length
  }
  return bytes
}
