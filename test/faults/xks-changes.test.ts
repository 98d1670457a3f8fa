import { expect } from 'chai'
import { credentialFor, describeXksChanges } from '../support/describe-xks-changes.ts'
import { runLoad, startLoad } from '../support/load-generator.ts'
import { XksDaemonUnderTest, PREFIX, STORE } from '../support/xks-daemon.ts'
import { encryptCall, type XksEndpoint } from '../support/xks-request.ts'

describeXksChanges({ credentials: 50, certificates: 20, materials: 3 })

const ROUNDS = 2

describe('two external key stores, one of them with a quota', function () {
  this.timeout(60_000)
  let bridge: XksDaemonUnderTest
  let quiet: XksEndpoint
  let limited: XksEndpoint

  before(async () => {
    const regions = ['eu-west-1']
    bridge = await XksDaemonUnderTest.start({
      xks: {
        stores: [
          { name: STORE, uriPathPrefix: PREFIX, regions },
          { name: 'limited', uriPathPrefix: '/limited', regions, requestsPerSecond: 20 },
        ],
      },
    })
    quiet = bridge.endpoint()
    limited = await credentialFor(bridge, 'limited', { ...quiet, uriPathPrefix: '/limited' })
    for (const store of [STORE, 'limited'])
      await bridge.daemon.cli('xks', 'key', 'create', `${store}/key`)
    await bridge.daemon.whole()
  })
  after(() => bridge.stop())

  it('XKS U-09: the load of the one is refused, and the answers of the other come no later', async () => {
    const requests = [encryptCall('key', Buffer.alloc(64))]
    const rate = (perSecond: number) => ({ perSecond, arrivals: 'fixed' as const })
    const p99 = async () => {
      const plan = { endpoint: quiet, requests, connections: 8, seconds: 1, warmupSeconds: 0.2 }
      const { latencyMs, errors } = await runLoad({ ...plan, rate: rate(100) })
      expect(errors).deep.equal({})
      return latencyMs.p99
    }
    const ratios: number[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      const alone = await p99()
      const plan = { endpoint: limited, requests, connections: 8, seconds: 20 }
      const flood = startLoad({ ...plan, rate: rate(150) })
      const beside = await p99()
      flood.stop()
      const { errors } = await flood.result
      expect(errors['ThrottlingException']).greaterThan(50)
      expect(Object.keys(errors)).deep.equal(['ThrottlingException'])
      ratios.push(beside / alone)
    }
    expect(Math.min(...ratios), ratios.join(', ')).most(2) // the machine's own noise is in the others
  })
})
