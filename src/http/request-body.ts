import type { IncomingMessage } from 'node:http'
import { HttpRefusal } from './http-refusal.ts'

/** What is read and thrown away, so that a client that only overdid it a little reads its answer and no reset. */
const DISCARDED_TIMES = 8

/**
 * Reads a whole body of at most `mostBytes`. How long it may take is the server's `requestTimeout`. Rejects with HttpRefusal.
 */
export function readBody(request: IncomingMessage, mostBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const refuse = (): void => reject(new HttpRefusal('BODY_TOO_LARGE'))
    const discardedBytes = DISCARDED_TIMES * mostBytes
    if (Number(request.headers['content-length'] ?? 0) > discardedBytes) return refuse()
    const chunks: Buffer[] = []
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= mostBytes) chunks.push(chunk)
      else chunks.length = 0 // AT-H04: what will be refused is not kept
      if (bytes > discardedBytes) refuse()
    })
    request.once('end', () => {
      if (bytes > mostBytes) refuse()
      else resolve(joined(chunks))
    })
    request.once('error', () => reject(new HttpRefusal('TOO_SLOW'))) // gone or timed out: nobody will read the answer
  })
}

/** AT-K09: whoever wipes the body has wiped all of it. */
function joined(chunks: readonly Buffer[]): Buffer {
  if (chunks.length === 1) return chunks[0] as Buffer
  const body = Buffer.concat(chunks)
  for (const chunk of chunks) chunk.fill(0)
  return body
}
