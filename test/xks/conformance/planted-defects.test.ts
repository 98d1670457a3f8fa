import { expect } from 'chai'
import {
  type ConformanceReport,
  runConformance,
} from '../../../src/xks/conformance/run-conformance.ts'
import { XKS_DEFECTS, type XksDefect } from '../../support/reference-xks-defects.ts'
import type { ReferenceXksProxy } from '../../support/reference-xks-proxy.ts'
import { startReference } from './conformance-setup.ts'

/** The rows that must notice a defect: as they are named in a report, by id and level. */
const NOTICED_BY: Record<XksDefect, readonly string[]> = {
  'validation is answered with 401': ['M-01 MUST', 'E-01 MUST', 'X-01 MUST', 'X-13 MUST'],
  'an absent key is answered with 400': ['G-07 MUST', 'X-13 MUST'],
  'errors have no Content-Type': ['T-01 MUST'],
  'errors repeat what they were sent': ['X-13 MUST'],
  'errors have no name': ['X-13 MUST', 'A-01 MUST', 'T-07 MUST'],
  'parser errors have no body': ['X-14 ours'],
  'GET is answered with 404': ['T-07 MUST'],
  'dots in a path are resolved': ['U-07 MUST'],
  'any version of the API': ['U-11 MUST'],
  'any key id is looked for': ['U-06 ours'],
  'the signature is not checked': ['A-01 MUST', 'A-15 MUST'],
  'any region': ['A-03 SHOULD'],
  'any service': ['A-02 MUST'],
  '301 s are recent': ['A-10 SHOULD'],
  'Host need not be signed': ['A-11 MUST'],
  'the body may state its hash': ['A-12 MUST'],
  'the body is not signed': ['A-12 MUST'],
  'the date of the credential is not compared': ['A-14 MUST'],
  'a second X-Amz-Date is ignored': ['A-09 MUST'],
  'credentials open every store': ['A-13 MUST'],
  'refusals tell the right signature': ['A-17 ours'],
  'requestMetadata is not required': ['M-01 MUST', 'H-13 MUST'],
  'health takes no requestMetadata': ['H-13 MUST'],
  'kmsOperation must be known': ['M-04 MUST'],
  'kmsRequestId must be a UUID': ['M-05 MUST'],
  'the principal must be an ARN': ['M-03 MUST'],
  'unknown members are refused': ['M-07 MUST'],
  'CreateKey makes the key': ['G-08 MUST'],
  'usage is in lower case': ['G-03 MUST'],
  'a disabled key works': ['G-05 MUST'],
  'only 4,096 bytes of plaintext': ['E-01 MUST', 'D-01 MUST'],
  'only 4,096 bytes of AAD': ['E-04 MUST'],
  'Base64 is forgiven': ['E-01 ours', 'D-01 ours'],
  'members may come twice': ['J-01 ours'],
  'AAD without lengths': ['D-03 MUST', 'E-11 MUST'],
  'AAD is left out': ['D-05 MUST', 'E-11 MUST', 'E-04 MUST'],
  'the length of AAD wraps': ['E-12 MUST'],
  'long AAD kills': ['D-12 MUST'],
  'metadata is not authenticated': ['D-03 MUST', 'E-11 MUST'],
  'metadata of 24 bytes': ['E-09 MUST'],
  'CDIV in another order': ['E-14 MUST'],
  'CDIV is left out': ['E-05 MUST', 'E-14 MUST'],
  'CDIV without decrypting': ['E-17 MUST'],
  'one IV for all': ['E-08 MUST'],
  'the tag stays at the ciphertext': ['E-06 MUST'],
  'the length of the tag is not checked': ['D-08 MUST'],
  'tags may be short': ['D-07 MUST'],
  'the length of the IV is not checked': ['D-06 MUST'],
  'any algorithm': ['E-03 MUST', 'D-04 MUST'],
  'usage is not checked': ['E-17 MUST', 'E-19 MUST', 'D-13 MUST'],
  'a fleet of none': ['H-06 MUST'],
  'eleven key managers': ['H-09 MUST'],
  'idle connections are closed at once': ['T-13 SHOULD'],
  'answers take 300 ms': ['K-250 MUST'],
  'the request is read before it is authenticated': ['P-6-8 ours'],
}

describe('conformance of a proxy that is wrong', function () {
  this.timeout(60_000)
  let proxy: ReferenceXksProxy | undefined

  afterEach(async () => {
    await proxy?.stop()
    proxy = undefined
  })

  for (const defect of XKS_DEFECTS) {
    const rows = NOTICED_BY[defect]
    it(`is noticed by ${rows.join(', ')}: ${defect}`, async () => {
      const started = await startReference({ defects: [defect] })
      proxy = started.proxy
      const only = rows.map((row) => row.split(' ')[0] ?? '')
      const target = { ...started.target, latestMs: defect === 'answers take 300 ms' ? 250 : 2_000 }
      const report = await runConformance(target, { only })
      expect(failures(report)).to.include.members(rows)
      expect(report.conforms).to.equal(!rows.some((row) => row.endsWith('MUST')))
      const strict = await runConformance(target, { only, strict: true })
      expect(strict.conforms).to.equal(false)
    })
  }

  it('says of each case what was expected and what came', async () => {
    const started = await startReference({ defects: ['the length of the tag is not checked'] })
    proxy = started.proxy
    const { results } = await runConformance(started.target, { only: ['D-08'] })
    const fault = results[0]?.faults[0]
    expect(fault?.case).to.equal('1 bytes')
    expect(fault?.expected).to.equal('a refusal')
    expect(fault?.received).to.match(/^200/)
  })

  it('fails nothing else for a defect that is one of our readings only', async () => {
    const started = await startReference({ defects: ['members may come twice'] })
    proxy = started.proxy
    const report = await runConformance(started.target)
    expect(failures(report).filter((row) => !row.endsWith('ours'))).to.deep.equal([])
    expect(report.conforms).to.equal(true)
  })
})

function failures({ results }: ConformanceReport): string[] {
  return results
    .filter(({ outcome }) => outcome === 'fail')
    .map(({ id, level }) => `${id} ${level}`)
}
