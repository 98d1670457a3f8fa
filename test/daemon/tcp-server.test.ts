import { Agent, createServer, get, type IncomingMessage } from 'node:http'
import { once } from 'node:events'
import { expect } from 'chai'
import { drain, listenOn } from '../../src/daemon/tcp-server.ts'

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
