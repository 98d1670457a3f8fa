import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ConfigError } from './config-error.ts'
import type { ListenAddress } from './listen-address.ts'
import { codeOf } from './private-file.ts'

const SWEEP_MS = 50

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

/** No new connections; those that have an answer coming get it, for `patienceMs` at the most. */
export async function drain(server: Server, patienceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS)
  const patience = setTimeout(() => server.closeAllConnections(), patienceMs)
  server.closeIdleConnections()
  await closed
  clearInterval(sweep)
  clearTimeout(patience)
}
