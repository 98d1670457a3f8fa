import { expect } from 'chai'
import type { HealthStatus, KeyManagerHealth } from '../../../src/xks/key-manager-health.ts'
import { refusal, XksRig } from '../rig.ts'

const REQUEST = { requestMetadata: { kmsRequestId: 'r-1', kmsOperation: 'KmsHealthCheck' } }

interface Health {
  readonly ekmFleetDetails: readonly KeyManagerHealth[]
}

describe('xks GetHealthStatus', () => {
  let rig: XksRig
  beforeEach(() => {
    rig = new XksRig()
  })
  const health = async (body: object = REQUEST) =>
    JSON.parse(await rig.perform('GetHealthStatus', body)) as Health
  const report = (...statuses: HealthStatus[]) => {
    const keyManagers = statuses.map((healthStatus, i) => ({
      id: `${i}`,
      model: 'm',
      healthStatus,
    }))
    rig.parts = { ...rig.parts, health: { keyManagers: () => keyManagers } }
  }

  it('XKS H-06, XKS H-07, XKS H-08, XKS H-09, XKS H-10: answers who we are and how each token is', async () =>
    expect(await health()).to.deep.equal({
      xksProxyFleetSize: 2,
      xksProxyVendor: 'hsm-bridge',
      xksProxyModel: 'hsm-bridge 1.0',
      ekmVendor: 'SoftHSM project',
      ekmFleetDetails: [{ id: '1', model: 'SoftHSM v2 2.6', healthStatus: 'ACTIVE' }],
    }))

  it('XKS H-11: a dead token is an answer, not an error', async () => {
    report('UNAVAILABLE')
    expect((await health()).ekmFleetDetails[0]?.healthStatus).to.equal('UNAVAILABLE')
  })

  it('XKS H-09: of eleven tokens ten are reported, worst first', async () => {
    report(...Array.from({ length: 9 }, () => 'ACTIVE' as const), 'UNAVAILABLE', 'DEGRADED')
    const { ekmFleetDetails } = await health()
    expect(ekmFleetDetails.map(({ id }) => id).join()).to.equal('9,10,0,1,2,3,4,5,6,7')
  })

  it('a proxy without tokens is not healthy', async () => {
    report()
    await refusal(health(), 500, 'InternalException')
  })

  it('XKS H-12: asks no token', async () => {
    await health()
    expect(rig.custody.calls).to.deep.equal([])
  })

  it('XKS H-04, XKS Z-04: a policy that denies everything is not asked', async () => {
    rig.setPolicy({ Effect: 'Deny', Principal: '*', Action: '*', Resource: '*' })
    await health()
    expect(rig.trail.decision).to.equal(undefined)
  })

  for (const kmsOperation of [
    'CreateCustomKeyStore',
    'ConnectCustomKeyStore',
    'UpdateCustomKeyStore',
    'KmsHealthCheck',
    'Levitate',
    '',
  ])
    it(`XKS M-04: takes the kmsOperation "${kmsOperation}"`, () =>
      health({ requestMetadata: { ...REQUEST.requestMetadata, kmsOperation } }))

  for (const body of [{}, { requestMetadata: {} }, { requestMetadata: null }])
    it(`XKS H-13: refuses ${JSON.stringify(body)} with 400 ValidationException`, () =>
      refusal(health(body), 400, 'ValidationException'))

  it('XKS X-02: a disabled store is InvalidStateException', async () => {
    rig.store = { ...rig.store, enabled: false }
    await refusal(health(), 400, 'InvalidStateException')
  })
})
