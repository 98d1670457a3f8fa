import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type RequestListener,
  type Server,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import aws4 from 'aws4'
import { expect } from 'chai'
import type { KmsEndpoint } from './kms-request.ts'
import { runLoad, startLoad } from './load-generator.ts'

const CREDENTIALS = { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'not-a-secret' }
const REQUESTS = [
  { operation: 'Encrypt', body: { KeyId: 'a', Plaintext: 'QQ==' } },
  { operation: 'Encrypt', body: { KeyId: 'b', Plaintext: 'Qg==' } },
]

describe('the load generator', () => {
  let server: Server
  async function serve(listener: RequestListener): Promise<KmsEndpoint> {
    server = createServer(listener).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    return { host: '127.0.0.1', port, region: 'eu-central-1', ...CREDENTIALS }
  }
  afterEach(() => {
    server.closeAllConnections()
    server.close()
  })

  it('sends signed requests in turn over connections that stay open', async () => {
    const seen: { body: string; headers: IncomingHttpHeaders; signature: string | undefined }[] = []
    let sockets = 0
    const endpoint = await serve((request, response) => {
      void text(request).then((body) => {
        const { authorization, ...headers } = request.headers
        seen.push({ body, headers, signature: authorization })
        response.end('{}')
      })
    })
    server.on('connection', () => sockets++)
    const result = await runLoad({ endpoint, requests: REQUESTS, seconds: 0.3, connections: 2 })
    expect(sockets).to.equal(2)
    expect(result.sent).to.equal(seen.length)
    expect(result).to.deep.include({ ok: seen.length, errors: {} })
    expect(result.latencyMs.count).to.equal(seen.length)
    const bodies = new Set(seen.map((s) => s.body))
    expect(bodies).to.deep.equal(new Set(REQUESTS.map((r) => JSON.stringify(r.body))))
    for (const { body, headers, signature } of seen.slice(0, 4)) {
      const again = { service: 'kms', region: 'eu-central-1', method: 'POST', path: '/' }
      const signed = aws4.sign({ ...again, headers, body }, CREDENTIALS)
      expect(signature).to.equal(signed.headers?.['Authorization'])
    }
  })

  it('counts errors by name, and goes on over a new connection when one is cut', async () => {
    let count = 0
    const endpoint = await serve((request, response) => {
      count++
      request.resume()
      if (count === 5) return request.socket.destroy()
      response.statusCode = count === 7 ? 400 : 200
      response.end('{"__type":"com.amazonaws.kms#NotFoundException","message":"no"}')
    })
    const result = await runLoad({ endpoint, requests: REQUESTS, seconds: 0.3, connections: 1 })
    const { NotFoundException, ...lost } = result.errors
    expect(NotFoundException).to.equal(1)
    expect(Object.values(lost)).to.deep.equal([1])
    expect(result.sent).to.equal(count)
    expect(result.ok).to.equal(count - 2)
    expect(result.errorSamples).to.have.length(2)
  })

  it('counts a request without answer as TIMEOUT', async () => {
    const endpoint = await serve((request) => void request.resume())
    const plan = { endpoint, requests: REQUESTS, seconds: 0.2, connections: 1, timeoutMs: 60 }
    const { errors, ok } = await runLoad(plan)
    expect(Object.keys(errors)).to.deep.equal(['TIMEOUT'])
    expect(ok).to.equal(0)
  })

  it('sends at the rate it is told, whatever the server does', async () => {
    const endpoint = await serve((request, response) => {
      request.resume()
      setTimeout(() => response.end('{}'), 50)
    })
    const rate = { perSecond: 200, arrivals: 'fixed' } as const
    const plan = { endpoint, requests: REQUESTS, seconds: 1, connections: 50, rate }
    const { sent, ok } = await runLoad(plan)
    expect(sent).to.be.within(199, 201)
    expect(ok).to.equal(sent)
  })

  it('counts latency from when a request was due, so that a stall shows in all that waited', async () => {
    let count = 0
    const endpoint = await serve((request, response) => {
      request.resume()
      count++
      if (count === 50) setTimeout(() => response.end('{}'), 300)
      else response.end('{}')
    })
    const rate = { perSecond: 100, arrivals: 'fixed' } as const
    const { latencyMs } = await runLoad({
      endpoint,
      requests: REQUESTS,
      seconds: 1,
      connections: 1,
      rate,
    })
    expect(latencyMs.max).to.be.within(295, 600)
    expect(latencyMs.p90).to.be.above(150) // 30 of 100 were due during the stall
    expect(latencyMs.p50).to.be.below(100)
  })

  it('leaves the warm-up out of the latencies', async () => {
    const began = Date.now()
    const endpoint = await serve((request, response) => {
      request.resume()
      setTimeout(() => response.end('{}'), Date.now() - began < 300 ? 100 : 0)
    })
    const rate = { perSecond: 50, arrivals: 'poisson' } as const
    const plan = { endpoint, requests: REQUESTS, connections: 20, rate }
    const result = await runLoad({ ...plan, warmupSeconds: 0.6, seconds: 0.5 })
    expect(result.latencyMs.count).to.be.within(1, result.sent - 1)
    expect(result.latencyMs.max).to.be.below(100)
  })

  it('stops when it is told', async () => {
    const endpoint = await serve((request, response) => {
      request.resume()
      response.end('{}')
    })
    const run = startLoad({ endpoint, requests: REQUESTS, seconds: 60, connections: 1 })
    await once(server, 'request')
    run.stop()
    const result = await run.result
    expect(result.ok).to.equal(result.sent)
    expect(result.ok).to.be.above(0)
  })
})
