import { expect } from 'chai'
import { METADATA, refusal, XksRig } from '../rig.ts'

const { kmsKeyArn: _, ...SENT } = METADATA
const REQUEST = { requestMetadata: { ...SENT, kmsOperation: 'CreateKey' } }

describe('xks GetKeyMetadata', () => {
  let rig: XksRig
  beforeEach(() => {
    rig = new XksRig()
  })

  it('XKS G-01, XKS G-02, XKS G-03, XKS G-05: answers spec, usage and status, and asks no token', async () => {
    expect(JSON.parse(await rig.perform('GetKeyMetadata', REQUEST))).to.deep.equal({
      keySpec: 'AES_256',
      keyUsage: ['ENCRYPT', 'DECRYPT'],
      keyStatus: 'ENABLED',
    })
    expect(rig.custody.calls).to.deep.equal([])
  })

  for (const keyUsage of [['ENCRYPT'], ['DECRYPT'], []] as const)
    it(`XKS G-03, XKS G-04: tells the usage ${JSON.stringify(keyUsage)}`, async () => {
      rig.key = { ...rig.key, keyUsage }
      expect(JSON.parse(await rig.perform('GetKeyMetadata', REQUEST))).to.deep.include({ keyUsage })
    })

  it('XKS G-05, XKS G-06: a key that is disabled here is DISABLED', async () => {
    rig.key = { ...rig.key, enabled: false }
    expect(JSON.parse(await rig.perform('GetKeyMetadata', REQUEST))).to.include({
      keyStatus: 'DISABLED',
    })
  })

  it('XKS X-02: a disabled store is InvalidStateException', async () => {
    rig.store = { ...rig.store, enabled: false }
    await refusal(rig.perform('GetKeyMetadata', REQUEST), 400, 'InvalidStateException')
  })

  for (const kmsOperation of ['CreateKey', 'DescribeKey', 'ConjureKey', ''])
    it(`XKS G-07, XKS M-04: takes the kmsOperation "${kmsOperation}"`, async () => {
      const requestMetadata = { ...METADATA, kmsOperation }
      await rig.perform('GetKeyMetadata', { requestMetadata })
    })

  it('XKS G-07, XKS G-08: an absent key is KeyNotFoundException, CreateKey or not, and none is made', async () => {
    const size = rig.custody.size
    await refusal(
      rig.perform('GetKeyMetadata', REQUEST, { externalKeyId: 'absent' }),
      404,
      'KeyNotFoundException',
    )
    expect(rig.custody.size).to.equal(size)
    expect(rig.custody.calls).to.deep.equal([])
  })
})
