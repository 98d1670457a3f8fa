import type { IncomingMessage } from 'node:http'
import { HttpRefusal } from './wire-error.ts'

/**
 * The most that a face keeps. The largest legal request is a policy of 131,072 characters; each of them written as `\u00e9`
 * makes 768 KiB.
 */
export const MAX_BODY_BYTES = 1024 * 1024

/** What is read and thrown away, so that a client that only overdid it a little reads its answer and no reset. */
const MAX_DISCARDED_BYTES = 8 * MAX_BODY_BYTES

/** Reads a whole body. How long it may take is the server's `requestTimeout`. Rejects with HttpRefusal. */
export function readBody(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const refuse = (): void => reject(new HttpRefusal('BODY_TOO_LARGE'))
    if (Number(request.headers['content-length'] ?? 0) > MAX_DISCARDED_BYTES) return refuse()
    const chunks: Buffer[] = []
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= MAX_BODY_BYTES) chunks.push(chunk)
      else chunks.length = 0 // AT-H04: what will be refused is not kept
      if (bytes > MAX_DISCARDED_BYTES) refuse()
    })
    request.once('end', () => {
      if (bytes > MAX_BODY_BYTES) refuse()
      else resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks))
    })
    request.once('error', () => reject(new HttpRefusal('TOO_SLOW'))) // gone or timed out: nobody will read the answer
  })
}
