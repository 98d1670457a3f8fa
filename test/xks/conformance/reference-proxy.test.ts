import { expect } from 'chai'
import {
  type ConformanceReport,
  runConformance,
} from '../../../src/xks/conformance/run-conformance.ts'
import type { ReferenceXksProxy } from '../../support/reference-xks-proxy.ts'
import { startReference, startTlsReference } from './conformance-setup.ts'

describe('conformance of a proxy that is right', function () {
  this.timeout(60_000)
  let proxy: ReferenceXksProxy | undefined

  afterEach(async () => {
    await proxy?.stop()
    proxy = undefined
  })

  for (const keyType of ['EC', 'RSA'] as const)
    it(`passes every row over TLS with an ${keyType} key, client certificate and all keys`, async () => {
      const started = await startTlsReference(keyType)
      proxy = started.proxy
      const report = await runConformance(started.target, { strict: true })
      expect(outcomes(report, 'fail')).to.deep.equal([])
      expect(outcomes(report, 'skip')).to.deep.equal([])
      expect(report).to.include({ conforms: true, failed: 0, passed: report.results.length })
      expect(report.results.length).to.be.greaterThan(150)
    })

  it('skips, with the reason, what plain HTTP or a missing key cannot show', async () => {
    const started = await startReference()
    proxy = started.proxy
    const target = {
      ...started.target,
      secondCredential: undefined,
      disabledKeyId: undefined,
      encryptOnlyKeyId: undefined,
      decryptOnlyKeyId: undefined,
      keyBytes: undefined,
      otherPrefix: undefined,
    }
    const report = await runConformance(target, { strict: true })
    expect(report.conforms).to.equal(true)
    expect(new Set(report.results.map(({ reason }) => reason))).to.deep.equal(
      new Set([
        undefined,
        'the endpoint is plain HTTP',
        '--client-cert is not given',
        '--stranger-cert is not given',
        '--second-credentials-file is not given',
        '--other-prefix is not given',
        '--disabled-key-id is not given',
        '--encrypt-only-key-id is not given',
        '--decrypt-only-key-id is not given',
        '--key-bytes-file is not given',
      ]),
    )
  })

  it('runs only the rows, or sections, that were named', async () => {
    const started = await startReference()
    proxy = started.proxy
    const report = await runConformance(started.target, { only: ['E-14', 'G'] })
    const ids = new Set(report.results.map(({ id }) => id))
    expect([...ids]).to.deep.equal(['G-01', 'G-02', 'G-03', 'G-04', 'G-05', 'G-07', 'G-08', 'E-14'])
    const unknown = await runConformance(started.target, { only: ['E-99'] }).catch(
      (error: unknown) => error,
    )
    expect(unknown).to.be.an('error').with.property('message', 'there is no row E-99')
  })

  it('tells of a row before it runs, and how many there are', async () => {
    const started = await startReference()
    proxy = started.proxy
    const told: string[] = []
    const onProgress = (done: number, of: number, { id }: { id: string }) =>
      told.push(`${done}/${of} ${id}`)
    await runConformance(started.target, { only: ['E-05', 'D-04'], onProgress })
    expect(told).to.deep.equal(['0/3 E-05', '1/3 E-05', '2/3 D-04'])
  })

  it('measures how long answers took', async () => {
    const started = await startReference({ delayMs: () => 20 })
    proxy = started.proxy
    const { latency } = await runConformance(started.target, { only: ['G-01', 'H-06'] })
    expect(latency.requests).to.equal(2)
    expect(latency.p50Ms).to.be.within(18, 200)
    expect(latency.maxMs).to.be.at.least(latency.p99Ms)
  })

  it('asks again, later, what was throttled', async () => {
    let refusals = 2
    const started = await startReference({ throttles: () => refusals-- > 0 })
    proxy = started.proxy
    const { conforms, latency } = await runConformance(started.target, { only: ['G-01'] })
    expect(conforms).to.equal(true)
    expect(latency.requests).to.equal(3)
  })

  it('fails every row, and does not hang, where nobody listens', async () => {
    const started = await startReference()
    await started.proxy.stop()
    const report = await runConformance(started.target, { only: ['G'] })
    expect(report.passed).to.equal(0)
    expect(report.conforms).to.equal(false)
    expect(report.results[0]?.faults[0]?.received).to.match(/no connection/)
  })
})

function outcomes({ results }: ConformanceReport, wanted: string): string[] {
  return results
    .filter(({ outcome }) => outcome === wanted)
    .map(({ id, title, reason, faults }) => `${id} ${title} ${reason} ${JSON.stringify(faults)}`)
}
