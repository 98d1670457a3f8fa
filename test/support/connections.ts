import { once } from 'node:events'
import { connect, type IpcNetConnectOpts, type Socket, type TcpNetConnectOpts } from 'node:net'

/** Opens so many connections that say nothing. */
export function connections(
  count: number,
  to: TcpNetConnectOpts | IpcNetConnectOpts,
): Promise<Socket[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const socket = connect(to)
      socket.on('error', () => undefined)
      await once(socket, 'connect')
      return socket
    }),
  )
}
