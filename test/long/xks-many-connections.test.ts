import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { connectionsOf } from '../../src/http/face-server.ts'
import { startCheckedXksLoad } from '../support/checked-xks-load.ts'
import { eventually } from '../support/daemon-under-test.ts'
import { PREFIX, XksDaemonUnderTest } from '../support/xks-daemon.ts'

const KEY = 'key'
/** For those who are served meanwhile. */
const SPARE_CONNECTIONS = 100
/** As many as this process and a face have descriptors for. */
const MANY = Math.min(
  10_000,
  connectionsOf(readFileSync('/proc/self/limits', 'utf8')) - SPARE_CONNECTIONS,
)
const OPENED_AT_ONCE = 200
const PER_SECOND = 100
const P99_MS = 250
const MOST_RSS_KIB = 512 * 1024
/** A request has 10 s; closing so many takes a while. */
const REQUEST_GONE_MS = 11_000
/** A handshake has 5 s. */
const HANDSHAKE_GONE_MS = 7_000
/** An answer that nobody takes has 12 s. */
const STALLED_GONE_MS = 15_000
const DRIPS = 2
const DRIP_MS = 4_000
/** As /proc/net/tcp has it. */
const ESTABLISHED = '01'

const HEALTH = `${PREFIX}/kms/xks/v1/health`
const HALF_A_HELLO = Buffer.from('16030102000100fc0303', 'hex')
const RECORDS = Buffer.alloc(
  64 * 1024,
  Buffer.concat([Buffer.from('1703030100', 'hex'), Buffer.alloc(256)]),
)

describe(`${MANY.toLocaleString('en')} connections of strangers to the XKS face, while others are served`, function () {
  this.timeout(180_000)
  let bridge: XksDaemonUnderTest
  const sockets: Socket[] = []

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    await bridge?.stop()
  })

  async function start(plainHttp: boolean): Promise<void> {
    bridge = await XksDaemonUnderTest.start({ plainHttp })
    await bridge.createKey(KEY)
    await pause(2500) // every lane knows it
    await bridge.daemon.whole()
  }

  /** Opens them all, does `each` with every one, and tells after how long the slowest was gone again. */
  async function crowd(each: (socket: Socket, i: number) => void): Promise<() => Promise<number>> {
    const { host, port } = bridge.endpoint()
    const gone: Promise<number>[] = []
    while (sockets.length < MANY) {
      const some = Array.from({ length: Math.min(OPENED_AT_ONCE, MANY - sockets.length) }, () =>
        connect(port, host).on('error', () => undefined),
      )
      await Promise.all(some.map((socket) => once(socket, 'connect')))
      for (const [i, socket] of some.entries()) {
        const began = performance.now()
        gone.push(once(socket.resume(), 'close').then(() => performance.now() - began))
        each(socket, i)
      }
      sockets.push(...some)
    }
    return async () => Math.max(...(await Promise.all(gone)))
  }

  /** Others are served as if nothing were, and memory stays bounded, while `attack` goes on. */
  async function othersAreServed(what: string, attack: () => Promise<number>): Promise<void> {
    const load = await startCheckedXksLoad({
      endpoint: bridge.endpoint(),
      keyId: KEY,
      perSecond: PER_SECOND,
    })
    let goneMs = Number.NaN
    const served = await attack()
      .then((ms) => (goneMs = ms))
      .then(load.stop, async (error: unknown) => {
        await load.stop() // its process would outlive us
        throw error
      })
    const { sent, failures, wrong, latencyMs } = served
    const rssKib = Number(
      /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${bridge.daemon.pid}/status`, 'utf8'))?.[1],
    )
    console.log(
      `    ${what}: gone after ${(goneMs / 1000).toFixed(1)} s; ${sent} served, ` +
        `p50 ${latencyMs.p50.toFixed(1)}, p99 ${latencyMs.p99.toFixed(1)}, ` +
        `max ${latencyMs.max.toFixed(0)} ms; RSS at most ${Math.round(rssKib / 1024)} MiB`,
    )
    expect(failures).to.deep.equal([])
    expect(wrong).to.equal(0)
    expect(latencyMs.p99).to.be.lessThan(P99_MS)
    expect(rssKib).to.be.lessThan(MOST_RSS_KIB)
  }

  for (const [what, bytes, drip] of [
    ['AT-H01: heads that do not end', `POST ${HEALTH} HTTP/1.1\r\nHost: a\r\nX: `, 'x'],
    [
      'AT-H02: bodies that do not end',
      `POST ${HEALTH} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n`,
      ' ',
    ],
  ] as const)
    it(`${what} are gone in time, a byte now and then or not`, async () => {
      await start(true)
      await othersAreServed(what, async () => {
        const gone = await crowd((socket) => socket.write(bytes))
        for (let i = 0; i < DRIPS; i++) {
          for (const [j, socket] of sockets.entries()) {
            if (socket.writable) socket.write(drip)
            if (j % OPENED_AT_ONCE === 0) await pause((DRIP_MS * OPENED_AT_ONCE) / MANY)
          }
        }
        const slowestMs = await gone()
        expect(slowestMs).to.be.lessThan(REQUEST_GONE_MS)
        return slowestMs
      })
    })

  it('AT-H03: strangers who take no answer are gone in time', async () => {
    await start(true)
    await othersAreServed('AT-H03: strangers', async () => {
      await crowd((socket) => {
        socket.pause()
        socket.write(`POST ${HEALTH} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`)
      })
      return await untilGone()
    })
  })

  /** How many of our connections the daemon has not closed, whatever we have heard of it. */
  function established(): number {
    const { port } = bridge.endpoint()
    const ours = new Set(sockets.map(({ localPort }) => localPort))
    return readFileSync('/proc/net/tcp', 'utf8')
      .split('\n')
      .map((line) => / \w+:(\w{4}) \w+:(\w{4}) (\w\w) /.exec(line)?.slice(1) ?? [])
      .filter(
        ([local = '', remote = '', state]) =>
          state === ESTABLISHED &&
          Number.parseInt(local, 16) === port &&
          ours.has(Number.parseInt(remote, 16)),
      ).length
  }

  async function untilGone(): Promise<number> {
    const began = performance.now()
    await eventually(
      () => established() === 0,
      () => `${established()} connections are open`,
      STALLED_GONE_MS,
    )
    return performance.now() - began
  }

  it('AT-H14: half a handshake, none, and floods of records are gone in time', async () => {
    await start(false)
    await othersAreServed('AT-H14', async () => {
      const gone = await crowd((socket, i) => {
        if (i % 3 === 0) socket.write(HALF_A_HELLO)
        if (i % 3 === 1) socket.write(RECORDS)
      })
      const slowestMs = await gone()
      expect(slowestMs).to.be.lessThan(HANDSHAKE_GONE_MS)
      return slowestMs
    })
  })
})
