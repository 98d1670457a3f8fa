import { chmodSync, existsSync, lstatSync, rmSync } from 'node:fs'
import type { Server, ServerResponse } from 'node:http'
import { type AddressInfo, Server as NetServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { ConfigError } from './config-error.ts'
import type { ListenAddress } from './listen-address.ts'
import { codeOf } from './private-file.ts'

const SWEEP_MS = 50
const GRACE_MS = 300

/** Listens and answers where. Throws ConfigError naming the option when the address is taken or not ours. */
export async function listenOn(
  server: Server,
  address: ListenAddress,
  option: string,
): Promise<ListenAddress> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new ConfigError(
          option,
          `cannot listen on ${address.host}:${address.port} (${codeOf(error)})`,
          {
            cause: error,
          },
        ),
      ),
    )
    server.listen(address.port, address.host, resolve)
  })
  return { host: address.host, port: (server.address() as AddressInfo).port }
}

/**
 * Listens on a unix socket that only our own user may use. Whoever calls holds the state lock: a socket there is a leftover. Throws
 * ConfigError naming the option.
 */
export async function listenOnSocket(server: Server, path: string, option: string): Promise<void> {
  if (existsSync(path) && !lstatSync(path).isSocket())
    throw new ConfigError(option, `${path} exists and is no socket`)
  rmSync(path, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new ConfigError(option, `cannot listen on ${path} (${codeOf(cause)})`, { cause })),
    )
    server.listen(path, resolve)
  })
  chmodSync(path, 0o600)
}

/**
 * No new connections. Requests in hand are answered, and so are those that a client was just sending on a connection that it
 * kept: with the word to close it (FM-F48). Whoever says nothing for `GRACE_MS` is cut off, everybody after `patienceMs`.
 */
export async function drain(server: Server, patienceMs: number): Promise<void> {
  server.prependListener('request', (_request, response: ServerResponse) =>
    response.setHeader('Connection', 'close'),
  )
  // Not the close of node:http: that one cuts idle connections at once, and with them what is on its way to us.
  const closed = new Promise<void>((resolve) => {
    NetServer.prototype.close.call(server, () => resolve())
  })
  const patience = setTimeout(() => server.closeAllConnections(), patienceMs)
  await Promise.race([closed, pause(Math.min(GRACE_MS, patienceMs))])
  const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS)
  server.closeIdleConnections()
  await closed
  clearInterval(sweep)
  clearTimeout(patience)
}
