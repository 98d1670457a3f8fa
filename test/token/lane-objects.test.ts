import { expect } from 'chai'
import type { Material } from '../../src/crypto/key-custody.ts'
import {
  type DestroyReply,
  type ListReply,
  materialToJson,
  type OwnerReply,
  type ShowReply,
  type TokenAnchors,
} from '../../src/token/lane-protocol.ts'
import { faultModule } from '../support/fault-module.ts'
import { itemAt } from '../support/item-at.ts'
import { LaneClient, ORIGIN, planFor, refusalOf, startAnchored } from '../support/lane-client.ts'
import { makeSoftHsmToken, type SoftHsmToken } from '../support/softhsm.ts'
import { visitToken } from '../support/token-visitor.ts'

const TEXT = Buffer.from('text')

for (const { title, withoutGcm } of [
  { title: 'AES_GCM', withoutGcm: false },
  { title: 'AES_CBC_HMAC', withoutGcm: true },
]) {
  describe(`the cold lane with ${title}`, () => {
    let token: SoftHsmToken
    let anchors: TokenAnchors
    let cold: LaneClient

    before(async () => {
      token = await makeSoftHsmToken({ withoutGcm })
      ;({ cold, anchors } = await startAnchored(token))
    })
    after(async () => {
      await cold.stop()
      token.remove()
    })

    it('shows a key as made in the token, sensitive, and never extractable (ARCH-D6)', async () => {
      const material = await cold.make(planFor(token))
      const shown = await cold.json<ShowReply>('show', { material: materialToJson(material) })
      expect(shown.tokenSerial).to.equal(token.serial)
      expect(shown.proofHolds).to.equal(true)
      expect(shown.objects).to.have.length(material.objects.length)
      for (const [i, object] of shown.objects.entries()) {
        const { role, id, keyType } = itemAt(material.objects, i)
        expect(object).to.deep.include({ role, id, found: 1, label: 'test key' })
        expect(object.attributes).to.deep.equal({
          class: 'SECRET_KEY',
          keyType,
          label: 'test key',
          token: true,
          private: true,
          sensitive: true,
          extractable: false,
          local: true,
          alwaysSensitive: true,
          neverExtractable: true,
        })
      }
    })

    it('shows that a proof of another material does not hold', async () => {
      const material = await cold.make(planFor(token))
      const json = materialToJson({ ...material, proof: anchors.canary.proof })
      expect(await cold.json<ShowReply>('show', { material: json })).to.include({
        proofHolds: false,
      })
    })

    it('refuses to make what it has made already (FM-R7)', async () => {
      const plan = planFor(token)
      await cold.make(plan)
      expect((await refusalOf(cold.make(plan))).code).to.equal('KEY_AMBIGUOUS')
      const { objects } = await cold.json<ListReply>('list')
      expect(objects.filter(({ id }) => id === plan.objects[0]?.id)).to.have.length(1)
    })

    it('destroys the objects and the record of a material, and may be asked again', async () => {
      const material = await cold.make(planFor(token))
      const record = { kind: 'material', material: materialToJson(material), origin: ORIGIN }
      await cold.json('record', record)
      const { materialId, scheme, objects } = material
      const destroy = () =>
        cold.json<DestroyReply>('destroy', { plan: { materialId, scheme, objects } })

      expect(await destroy()).to.deep.equal({ destroyed: objects.length + 1 })
      expect(await destroy()).to.deep.equal({ destroyed: 0 })
      const { objects: listed, records } = await cold.json<ListReply>('list')
      expect(listed.some(({ id }) => id === objects[0]?.id)).to.equal(false)
      expect(records.some(({ label }) => label.includes(materialId))).to.equal(false)
      expect((await refusalOf(cold.encrypt(material, TEXT, TEXT))).code).to.equal('KEY_UNAVAILABLE')
    })
  })
}

describe('the cold lane', () => {
  let token: SoftHsmToken
  let anchors: TokenAnchors
  let cold: LaneClient

  before(async () => {
    token = await makeSoftHsmToken()
    ;({ cold, anchors } = await startAnchored(token))
  })
  after(async () => {
    await cold.stop()
    token.remove()
  })

  it('refuses to choose between two objects with one name (ARCH-D5)', async () => {
    const material = await cold.make(planFor(token))
    const hot = await LaneClient.start(token, { anchors })
    await hot.encrypt(material, TEXT, TEXT)
    visitToken(token, 'duplicateKey', itemAt(material.objects, 0).id)
    await hot.json('learn')
    expect(await refusalOf(hot.encrypt(material, TEXT, TEXT))).to.include({
      code: 'KEY_AMBIGUOUS',
      advice: 'keep',
    })
    expect((await refusalOf(cold.make(material))).code).to.equal('KEY_AMBIGUOUS')
    const shown = await cold.json<ShowReply>('show', { material: materialToJson(material) })
    expect(shown.objects[0]?.found).to.equal(2)
    await hot.stop()
  })

  it('destroys every copy of a key that is to go', async () => {
    const material = await cold.make(planFor(token))
    for (let i = 0; i < 3; i += 1) visitToken(token, 'duplicateKey', itemAt(material.objects, 0).id)
    const { destroyed } = await cold.json<DestroyReply>('destroy', { plan: material })
    expect(destroyed).to.equal(4)
  })

  it('lists objects without label and id too (FM-F22)', async () => {
    visitToken(token, 'leaveBareObject')
    const { objects } = await cold.json<ListReply>('list')
    expect(objects).to.deep.include({ class: 'DATA', id: '', label: '' })
    const canaryId = itemAt(anchors.canary.objects, 0).id
    expect(objects).to.deep.include({
      class: 'SECRET_KEY',
      id: canaryId,
      label: 'hsm-bridge:canary',
      keyType: 'AES',
    })
    expect(objects).to.deep.include({
      class: 'SECRET_KEY',
      id: anchors.recordKeyId,
      label: 'hsm-bridge:records',
      keyType: 'GENERIC_SECRET',
    })
  })

  it('notices that another process has destroyed a key, and believes it because the canary works', async () => {
    const material = await cold.make(planFor(token))
    const hot = await LaneClient.start(token, { anchors, profile: { sessionCopies: false } })
    await hot.encrypt(material, TEXT, TEXT)
    visitToken(token, 'destroyKeys', itemAt(material.objects, 0).id)

    // The stale handle: the key is not there for this lane, and that is all that is said.
    const stale = await refusalOf(hot.encrypt(material, TEXT, TEXT))
    expect(stale).to.include({ code: 'KEY_UNAVAILABLE', advice: 'recover' })
    await hot.json('learn')
    const gone = await refusalOf(hot.encrypt(material, TEXT, TEXT))
    expect(gone).to.include({ code: 'KEY_UNAVAILABLE', advice: 'learn' })
    await hot.stop()
  })

  it('uses its session copy of a key that another process has destroyed until it searches', async () => {
    const material = await cold.make(planFor(token))
    const hot = await LaneClient.start(token, { anchors })
    await hot.encrypt(material, TEXT, TEXT)
    visitToken(token, 'destroyKeys', itemAt(material.objects, 0).id)
    await hot.encrypt(material, TEXT, TEXT)
    await hot.json('learn')
    const gone = await refusalOf(hot.encrypt(material, TEXT, TEXT))
    expect(gone).to.include({ code: 'KEY_UNAVAILABLE', advice: 'learn' })
    await hot.stop()
  })
})

describe('records in the token', () => {
  let token: SoftHsmToken
  let anchors: TokenAnchors
  let cold: LaneClient
  let material: Material

  before(async () => {
    token = await makeSoftHsmToken()
    ;({ cold, anchors } = await startAnchored(token))
  })
  beforeEach(async () => {
    material = await cold.make(planFor(token))
    await cold.json('record', request())
  })
  after(async () => {
    await cold.stop()
    token.remove()
  })

  const request = () => ({ kind: 'material', material: materialToJson(material), origin: ORIGIN })
  const label = () => `hsm-bridge:record:${material.materialId}`
  const recordOf = async (lane = cold) => {
    const { records } = await lane.json<ListReply>('list')
    return records.filter((record) => record.label === label())
  }

  it('give back everything that storage needs, and are authentic', async () => {
    expect(await recordOf()).to.deep.equal([
      {
        label: label(),
        authentic: true,
        kind: 'material',
        material: materialToJson(material),
        origin: ORIGIN,
      },
    ])
  })

  it('keep the canary findable for a rebuild', async () => {
    const { records } = await cold.json<ListReply>('list')
    const canary = records.find(({ kind }) => kind === 'canary')
    expect(canary?.material).to.deep.equal(materialToJson(anchors.canary))
  })

  it('are not authentic once a bit of their MAC is changed', async () => {
    visitToken(token, 'tamperRecord', label())
    const [record] = await recordOf()
    expect(record).to.include({ label: label(), authentic: false })
  })

  it('are not authentic where the record key is not known, but can be read', async () => {
    const lane = await LaneClient.start(token, { role: 'cold' })
    const [record] = await recordOf(lane)
    expect(record).to.deep.include({ authentic: false, material: materialToJson(material) })
    await lane.stop()
  })

  it('that are no records at all are listed as not authentic', async () => {
    visitToken(token, 'leaveRecord', 'hsm-bridge:record:junk', '010203')
    const { records } = await cold.json<ListReply>('list')
    expect(records).to.deep.include({ label: 'hsm-bridge:record:junk', authentic: false })
  })

  it('cannot be modified in the token (ARCH-D11)', () => {
    expect(visitToken(token, 'modifyRecord', label())).to.contain('CKR_')
  })

  it('have a label that fits the device', async () => {
    const lane = await LaneClient.start(token, {
      role: 'cold',
      anchors,
      profile: { maxLabelBytes: 40 },
    })
    const small = await lane.make(planFor(token))
    await lane.json('record', { ...request(), material: materialToJson(small) })
    const { records } = await lane.json<ListReply>('list')
    const cut = `hsm-bridge:record:${small.materialId}`.slice(0, 40)
    expect(records.find((record) => record.label === cut)).to.include({ authentic: true })
    expect(await lane.json('destroy', { plan: small })).to.deep.equal({ destroyed: 2 })
    await lane.stop()
  })

  it('are refused where the device keeps no data objects, or only short ones', async () => {
    for (const profile of [{ dataObjects: false }, { maxDataBytes: 100 }]) {
      const lane = await LaneClient.start(token, { role: 'cold', anchors, profile })
      const refusal = await refusalOf(lane.json('record', request()))
      expect(refusal).to.include({ code: 'UNSUPPORTED', advice: 'keep' })
      await lane.stop()
    }
  })
})

describe('the owner record', () => {
  let token: SoftHsmToken
  let cold: LaneClient
  const owner = async (claim?: object) =>
    (await cold.json<OwnerReply>('owner', claim ? { claim } : {})).owner
  const stored = () => visitToken(token, 'readRecords', 'hsm-bridge:owner') as string[]

  beforeEach(async () => {
    token = await makeSoftHsmToken()
    ;({ cold } = await startAnchored(token))
  })
  afterEach(async () => {
    await cold.stop()
    token.remove()
  })

  it('is absent on a token that nobody has claimed', async () => {
    expect(await owner()).to.equal(undefined)
  })

  it('is the last claim, and only that one stays in the token', async () => {
    for (const lineage of [1, 2, 2, 9]) await owner({ instanceId: 'one', lineage })
    expect(await owner()).to.deep.equal({ instanceId: 'one', lineage: 9 })
    expect(stored()).to.have.length(1)
    expect((await cold.json<ListReply>('list')).owner).to.include({ lineage: 9 })
  })

  it('with the highest lineage wins over an older one that was put back', async () => {
    await owner({ instanceId: 'one', lineage: 1 })
    const [old] = stored()
    await owner({ instanceId: 'one', lineage: 2 })
    visitToken(token, 'leaveRecord', 'hsm-bridge:owner', old ?? '')
    expect(await owner()).to.deep.equal({ instanceId: 'one', lineage: 2 })
  })

  it('counts for nothing when its MAC does not fit', async () => {
    await owner({ instanceId: 'one', lineage: 1 })
    visitToken(token, 'tamperRecord', 'hsm-bridge:owner')
    expect(await owner()).to.equal(undefined)
  })

  it('of a material is none: a record does not pass for another kind', async () => {
    const material = await cold.make(planFor(token))
    await cold.json('record', {
      kind: 'material',
      material: materialToJson(material),
      origin: ORIGIN,
    })
    const [record] = visitToken(
      token,
      'readRecords',
      `hsm-bridge:record:${material.materialId}`,
    ) as string[]
    visitToken(token, 'leaveRecord', 'hsm-bridge:owner', record ?? '')
    expect(await owner()).to.equal(undefined)
  })
})

describe('the cold lane in trouble', () => {
  let token: SoftHsmToken
  let faults: ReturnType<typeof faultModule>
  let cold: LaneClient

  before(async () => {
    token = await makeSoftHsmToken()
    faults = faultModule(token.modulePath, token.dir)
    ;({ cold } = await startAnchored(token, { faults }))
  })
  afterEach(() => faults.clear())
  after(async () => {
    await cold.stop()
    token.remove()
  })

  it('never repeats C_GenerateKey by itself; what was made unheard is listed (FM-R7)', async () => {
    const plan = planFor(token)
    faults.forgetCalls()
    faults.rules(['C_GenerateKey rv=0xb3 post count=1'])
    const refusal = await refusalOf(cold.make(plan))
    expect(refusal).to.include({ code: 'INTERNAL', call: 'C_GenerateKey', ckr: 0xb3 })
    expect(faults.countCalls('C_GenerateKey')).to.equal(1)
    const { objects } = await cold.json<ListReply>('list')
    expect(objects.some(({ id }) => id === plan.objects[0]?.id)).to.equal(true)
  })

  it('says CAPACITY when the token is full, and stays', async () => {
    faults.rules(['C_GenerateKey rv=0x31 count=1'])
    const refusal = await refusalOf(cold.make(planFor(token)))
    expect(refusal).to.include({ code: 'CAPACITY', advice: 'keep', ckr: 0x31 })
  })

  it('does not believe that a key is gone while the canary fails (FM-R6)', async () => {
    const material = await cold.make(planFor(token))
    faults.rules(['C_FindObjects dropfound', 'C_Decrypt rv=0x5'])
    const refusal = await refusalOf(cold.json('destroy', { plan: material }))
    expect(refusal).to.include({ code: 'DEVICE_GONE', advice: 'replace' })
  })

  it('does not believe that nobody owns the token, or that it is empty, while the canary fails (FM-R6)', async () => {
    faults.rules(['C_FindObjects dropfound', 'C_Decrypt rv=0x5'])
    for (const call of ['owner', 'list'] as const)
      expect(await refusalOf(cold.json(call))).to.include({ code: 'DEVICE_GONE' })
  })

  it('asks a token that answers OK and destroys nothing until it may call it a liar (FM-F25)', async () => {
    const material = await cold.make(planFor(token))
    faults.rules(['C_DestroyObject ok'])
    const refusal = await refusalOf(cold.json('destroy', { plan: material }))
    expect(refusal).to.include({ code: 'TOKEN_LIED' })
    faults.clear()
    expect(await cold.json('destroy', { plan: material })).to.deep.equal({ destroyed: 1 })
  })
})
