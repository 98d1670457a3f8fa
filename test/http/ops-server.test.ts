import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { connections } from '../support/connections.ts'
import { createOpsServer, type Readiness } from '../../src/http/ops-server.ts'

describe('ops server', () => {
  let server: Server
  let readiness: () => Promise<Readiness>
  let metrics: () => Promise<string>

  beforeEach(async () => {
    readiness = async () => ({ ready: true, reasons: [] })
    metrics = async () => 'requests_total 1\n'
    server = createOpsServer({ readiness: () => readiness(), metrics: () => metrics() })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  afterEach(() => {
    server.closeAllConnections()
    server.close()
  })

  const get = async (path: string, method = 'GET') => {
    const { port } = server.address() as AddressInfo
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method })
    const { status, headers } = response
    return { status, text: await response.text(), headers }
  }

  it('is live while it runs', async () => {
    expect(await get('/livez')).to.include({ status: 200, text: 'live\n' })
  })

  it('is ready when the token works, and says why when not', async () => {
    expect(await get('/readyz')).to.include({ status: 200, text: 'ready\n' })
    readiness = async () => ({ ready: false, reasons: ['token: no answer', 'storage: read-only'] })
    expect(await get('/readyz')).to.include({
      status: 503,
      text: 'not ready\ntoken: no answer\nstorage: read-only\n',
    })
  })

  it('is ready and says what else is the matter', async () => {
    readiness = async () => ({ ready: true, reasons: ['read-only: an older copy'] })
    expect(await get('/readyz')).to.include({
      status: 200,
      text: 'ready\nread-only: an older copy\n',
    })
  })

  it('asks the token once for probes that come together', async () => {
    let asked = 0
    let answer: (readiness: Readiness) => void = () => undefined
    readiness = () => {
      asked++
      return new Promise((resolve) => {
        answer = resolve
      })
    }
    const probes = [get('/readyz'), get('/readyz'), get('/readyz')]
    let arrived = 0
    await new Promise<void>((resolve) => {
      server.on('request', () => {
        if (++arrived === probes.length) resolve()
      })
    })
    answer({ ready: true, reasons: [] })
    const answers = await Promise.all(probes)
    expect(answers.map(({ status }) => status)).to.deep.equal([200, 200, 200])
    expect(asked).to.equal(1)
  })

  it('gives metrics as Prometheus text', async () => {
    const answer = await get('/metrics')
    expect(answer).to.include({ status: 200, text: 'requests_total 1\n' })
    expect(answer.headers.get('content-type')).to.equal('text/plain; version=0.0.4; charset=utf-8')
  })

  it('is unavailable, without a detail, when a part fails', async () => {
    readiness = () => Promise.reject(new Error('the PIN is 1234'))
    metrics = () => Promise.reject(new Error('detail'))
    expect(await get('/readyz')).to.include({ status: 503, text: 'unavailable\n' })
    expect(await get('/metrics')).to.include({ status: 503, text: 'unavailable\n' })
    expect(await get('/livez')).to.include({ status: 200 })
  })

  for (const path of ['/', '/admin', '/metrics/', '/metrics?x', '/__proto__']) {
    it(`has nothing at ${path}`, async () => expect(await get(path)).to.include({ status: 404 }))
  }

  it('takes GET only', async () => {
    const answer = await get('/metrics', 'POST')
    expect(answer.status).to.equal(405)
    expect(answer.headers.get('allow')).to.equal('GET')
  })

  it('AT-H17: takes 32 connections, disconnects who comes on top, and is there again when one goes', async () => {
    const { port } = server.address() as AddressInfo
    const held = await connections(32, { port })
    const [extra] = await connections(1, { port })
    await once(extra ?? expect.fail('none'), 'close')
    held.pop()?.destroy()
    while ((await get('/livez').catch(() => undefined))?.status !== 200) await pause(5)
    for (const socket of held) socket.destroy()
  })

  it('AT-H17: nobody keeps a connection for 10 s without a request, or for 30 s without reading', () => {
    expect(server).to.include({ headersTimeout: 10_000, requestTimeout: 10_000, timeout: 30_000 })
  })

  it('says nothing of what it runs on', async () => {
    const { headers } = await get('/livez')
    expect(headers.get('server')).to.equal(null)
    expect(headers.get('x-powered-by')).to.equal(null)
  })
})
