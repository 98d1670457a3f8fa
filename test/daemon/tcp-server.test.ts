import { Agent, createServer, get, type IncomingMessage, type Server } from 'node:http'
import { once } from 'node:events'
import { expect } from 'chai'
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../../src/daemon/config-error.ts'
import { drain, listenOn, listenOnSocket } from '../../src/daemon/tcp-server.ts'
import { temporaryDirectory } from './temporary-directory.ts'

describe('drain', () => {
  it('FM-F48: answers what comes on a kept connection right after it began, says to close it, and then ends', async () => {
    const server = createServer((_request, response) => response.end('served'))
    const { port } = await listenOn(server, { host: '127.0.0.1', port: 0 }, 'kms.listen')
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const ask = async (): Promise<IncomingMessage> => {
      const [response] = (await once(get({ port, agent }), 'response')) as [IncomingMessage]
      response.resume()
      await once(response, 'end')
      return response
    }
    expect((await ask()).headers.connection).equal('keep-alive')
    const drained = drain(server, 5_000)
    const late = await ask()
    expect([late.statusCode, late.headers.connection]).deep.equal([200, 'close'])
    await drained
    expect(await ask().catch((error: NodeJS.ErrnoException) => error.code)).equal('ECONNREFUSED')
  })

  it('cuts off at once whoever keeps a connection and has no patience left', async () => {
    const server = createServer(() => {}) // never answers
    const { port } = await listenOn(server, { host: '127.0.0.1', port: 0 }, 'kms.listen')
    const cut = once(get({ port }), 'error')
    await once(server, 'request')
    await drain(server, 0)
    expect((await cut)[0]).property('code', 'ECONNRESET')
  })
})

describe('listenOnSocket', () => {
  const directory = temporaryDirectory()

  it('takes over a socket that was left, and closes it to others', async () => {
    const socketPath = join(directory, 'xks.sock')
    const servers: Server[] = []
    for (const word of ['first', 'second']) {
      const server = createServer((_request, response) => response.end(word))
      await listenOnSocket(server, socketPath, 'xks.listen')
      expect(statSync(socketPath).mode & 0o777).equal(0o600)
      const [response] = (await once(get({ socketPath, agent: false }), 'response')) as [
        IncomingMessage,
      ]
      expect((await response.toArray()).join('')).equal(word)
      servers.push(server) // the first one stays, as after a kill: closing it would take its socket away
    }
    for (const server of servers) await drain(server, 0)
  })

  it('takes nothing away that is no socket, and names the option', async () => {
    const file = join(directory, 'file')
    writeFileSync(file, 'of somebody')
    for (const path of [file, join(directory, 'none', 'xks.sock')]) {
      const refused = await listenOnSocket(createServer(), path, 'xks.listen').catch(
        (error) => error,
      )
      expect(refused).instanceOf(ConfigError).property('code', 'xks.listen')
    }
    expect(statSync(file).size).equal(11)
  })
})
