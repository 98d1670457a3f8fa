import { chmodSync, rmSync } from 'node:fs'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { dirname } from 'node:path'
import { createSmallServer } from '../http/small-server.ts'
import type { Logger } from './log.ts'
import { assertPrivateDirectory, privacyProblem } from './private-file.ts'

/** What the administration socket is asked to do: an action's name and its parameters, both from outside. */
export type AdminHandler = (action: string, parameters: unknown) => Promise<unknown>

/** AT-H18: of each of the few connections. */
const MAX_BODY_BYTES = 1 << 20

/**
 * Administration over a unix socket (ARCH-D18): one POST per action, JSON both ways.
 *
 * Who may connect is decided by the kernel: the socket is 0600 in a 0700 directory, so only our own uid and root pass.
 * Node cannot ask for the peer's uid (SO_PEERCRED), therefore owner and mode of both are checked again on every
 * connection: if somebody opened them up, nobody is served any more.
 */
export class AdminServer {
  readonly #server: Server
  readonly #path: string
  readonly #logger: Logger

  private constructor(path: string, handler: AdminHandler, logger: Logger) {
    this.#path = path
    this.#logger = logger
    this.#server = createSmallServer((request, response) => {
      void answer(handler, request, response)
    })
    this.#server.on('connection', (socket) => {
      const problem = this.#exposure()
      if (problem === undefined) return
      this.#logger.error('administration refused', { problem })
      socket.destroy()
    })
  }

  /** Throws ConfigError when the directory is open to others. The caller holds the state lock: a socket there is a leftover. */
  static async listen(path: string, handler: AdminHandler, logger: Logger): Promise<AdminServer> {
    assertPrivateDirectory(dirname(path), 'stateDirectory')
    rmSync(path, { force: true })
    const admin = new AdminServer(path, handler, logger)
    await new Promise<void>((resolve, reject) => {
      admin.#server.once('error', reject)
      admin.#server.listen(path, resolve)
    })
    chmodSync(path, 0o600) // before this the directory alone kept others out
    return admin
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    await closed
  }

  #exposure(): string | undefined {
    return privacyProblem(dirname(this.#path)) ?? privacyProblem(this.#path)
  }
}

async function answer(
  handler: AdminHandler,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.setHeader('connection', 'close')
  try {
    if (request.method !== 'POST') throw new TypeError('administration takes POST only')
    const parameters: unknown = JSON.parse(await readBody(request))
    send(response, 200, {
      result: (await handler(request.url?.slice(1) ?? '', parameters)) ?? null,
    })
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error))
    send(response, 400, { error: { name, message } })
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) throw new RangeError('the request is too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}
