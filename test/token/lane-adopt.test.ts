import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { CustodyError } from '../../src/crypto/custody-error.ts'
import { type AdoptedName, type ListReply, materialToJson } from '../../src/token/lane-protocol.ts'
import type { AdoptOptions } from '../../src/token/token-custody.ts'
import { itemAt } from '../support/item-at.ts'
import { PoolUnderTest } from '../support/pool-under-test.ts'
import { type ForeignKey, visitToken } from '../support/token-visitor.ts'

const AAD = Buffer.from('the associated data')
const TEXT = Buffer.from('text')

const freshName = () => ({
  id: randomBytes(8).toString('hex'),
  label: `theirs ${randomBytes(4).toString('hex')}`,
})

describe('adopting a key of somebody else', function () {
  this.timeout(60_000)
  let test: PoolUnderTest

  before(async () => {
    test = await PoolUnderTest.start()
  })
  afterEach(() => test.faults.clear())
  after(() => test.stop())

  const theirs = (key: Partial<ForeignKey> = {}): ForeignKey => {
    const made = { ...freshName(), ...key }
    visitToken(test.token, 'makeForeignKey', JSON.stringify(made))
    return made
  }
  const adopt = (name: AdoptedName, options: Partial<AdoptOptions> = {}) =>
    test.custody.adopt(name, { origin: test.origin(), ...options })
  const refusal = async (name: AdoptedName, options: Partial<AdoptOptions> = {}) => {
    const error: unknown = await adopt(name, options).catch((refused: unknown) => refused)
    if (error instanceof CustodyError) return error
    throw new Error('the key was adopted')
  }
  const inToken = async (id: string) => {
    const { objects }: ListReply = await test.custody.list()
    return objects.filter((object) => object.id === id).length
  }

  for (const by of ['id', 'label'] as const)
    it(`finds it by CKA_${by.toUpperCase()}, and every lane uses it under a KeyMaterialId of ours`, async () => {
      const key = theirs()
      const { material, label, history } = await adopt({ [by]: key[by] })
      expect(material.materialId).to.match(/^[0-9a-f]{64}$/)
      expect(material.objects).to.deep.equal([
        {
          role: 'cipher',
          tokenSerial: test.token.serial,
          keyType: 'AES',
          id: key.id,
          foreign: true,
        },
      ])
      expect(label).to.equal(key.label)
      expect(history).to.deep.equal({ local: true, alwaysSensitive: true, neverExtractable: true })
      const uses = Array.from({ length: 20 }, async () => {
        const sealed = await test.custody.encryptVerified(material, TEXT, AAD, AAD)
        expect(await test.custody.decrypt(material, sealed, AAD)).to.deep.equal(TEXT)
      })
      await Promise.all(uses)
    })

  it('makes, copies for good and changes nothing but the record beside it (ARCH-D11)', async () => {
    const key = theirs()
    test.faults.forgetCalls()
    const origin = test.origin()
    const { material } = await adopt({ id: key.id }, { origin })
    const written = test.faults
      .calls()
      .filter(({ function: name }) =>
        /^C_(?:Create|Destroy|SetAttr|Generate(?!Random)|Unwrap|Wrap|Derive)/u.test(name),
      )
    expect(written.map((call) => [call.function, call.class])).to.deep.equal([
      ['C_CreateObject', 0],
    ])
    const { records } = await test.custody.list()
    const record = records.find((it) => it.material?.materialId === material.materialId)
    expect(record).to.deep.include({ authentic: true, material: materialToJson(material), origin })
  })

  it('ARCH-D9: proves it in another lane before the record is written', async () => {
    const key = theirs()
    test.faults.forgetCalls()
    await adopt({ id: key.id })
    const calls = test.faults.calls()
    const recordAt = calls.findIndex((call) => call.function === 'C_CreateObject')
    const cold = calls[recordAt]?.pid
    const provers = calls
      .slice(0, recordAt)
      .filter((call) => call.function === 'C_Decrypt' && call.pid !== cold)
    expect(provers).to.not.have.length(0)
  })

  it('tells of the plan before it writes, and writes nothing when that fails (ARCH-D11)', async () => {
    const key = theirs()
    const before = (await test.custody.list()).records.length
    const failure = await adopt(
      { id: key.id },
      {
        planned: (plan) => {
          expect(plan.objects[0]).to.include({ id: key.id, foreign: true })
          expect(plan).to.not.have.property('proof')
          throw new Error('no intent, no record')
        },
      },
    ).catch((error) => error)
    expect(failure).to.have.property('message', 'no intent, no record')
    expect((await test.custody.list()).records).to.have.length(before)
  })

  for (const { title, key, says } of [
    { title: 'is too short', key: { valueBytes: 16 }, says: 'CKA_VALUE_LEN is 16 and must be 32' },
    {
      title: 'may leave',
      key: { changes: { EXTRACTABLE: true } },
      says: 'CKA_EXTRACTABLE is true',
    },
    {
      title: 'shows its value',
      key: { changes: { SENSITIVE: false } },
      says: 'CKA_SENSITIVE is false',
    },
    { title: 'is public', key: { changes: { PRIVATE: false } }, says: 'CKA_PRIVATE is false' },
    {
      title: 'may not encrypt',
      key: { changes: { ENCRYPT: false } },
      says: 'CKA_ENCRYPT is false',
    },
    {
      title: 'may not decrypt',
      key: { changes: { DECRYPT: false } },
      says: 'CKA_DECRYPT is false',
    },
  ] satisfies readonly { title: string; key: Partial<ForeignKey>; says: string }[])
    it(`ARCH-D6: refuses one that ${title}, whatever the operator accepts`, async () => {
      const { label } = theirs(key)
      for (const acceptImported of [false, true]) {
        const { code, message } = await refusal({ label }, { acceptImported })
        expect(code).to.equal('KEY_USAGE')
        expect(message).to.include(says)
      }
    })

  it('ARCH-D6: takes an imported one only where that is accepted, and says what it is', async () => {
    const { id } = theirs({ imported: true })
    const { code, message } = await refusal({ id })
    expect(code).to.equal('KEY_USAGE')
    expect(message)
      .to.include('CKA_LOCAL is false')
      .and.to.include('CKA_NEVER_EXTRACTABLE is false')
    const { material, history } = await adopt({ id }, { acceptImported: true })
    expect(history).to.deep.equal({ local: false, alwaysSensitive: false, neverExtractable: false })
    const uses = Array.from({ length: 10 }, () =>
      test.custody.encryptVerified(material, TEXT, AAD, AAD),
    )
    for (const sealed of await Promise.all(uses))
      expect(await test.custody.decrypt(material, sealed, AAD)).to.deep.equal(TEXT)
  })

  it('ARCH-D5: refuses to choose between two of one name', async () => {
    const { label } = theirs()
    theirs({ label })
    expect(await refusal({ label })).to.have.property('code', 'KEY_AMBIGUOUS')
    const { id } = theirs()
    visitToken(test.token, 'duplicateKey', id)
    expect(await refusal({ id })).to.have.property('code', 'KEY_AMBIGUOUS')
  })

  it('ARCH-D5: refuses one without CKA_ID, which it would not find again', async () => {
    const { label } = theirs({ id: '' })
    expect((await refusal({ label })).message).to.include('CKA_ID is empty')
  })

  it('ARCH-D10: says that there is none only while the canary works', async () => {
    expect(await refusal(freshName())).to.have.property('code', 'KEY_UNAVAILABLE')
    test.faults.rules(['C_Decrypt rv=0x5 lane=cold'])
    expect(await refusal(freshName())).to.have.property('code', 'DEVICE_GONE')
  })

  it('refuses what is ours, or was adopted before: its encryptions are counted once', async () => {
    const ours = await test.make()
    expect((await refusal({ id: itemAt(ours.objects, 0).id })).message).to.include('has made it')
    const { id } = theirs()
    const { material } = await adopt({ id })
    expect((await refusal({ id })).message).to.include(material.materialId)
  })

  it('asks the token nothing without a name, or by one that is none', async () => {
    test.faults.forgetCalls()
    for (const name of [{}, { id: 'xyz' }, { id: 'abc' }, { id: '' }, { label: '' }])
      expect(await refusal(name)).to.have.property('code', 'INPUT')
    expect(test.faults.calls()).to.deep.equal([])
  })

  it('ARCH-D11: destroying its material removes our record, and never the key', async () => {
    const { id } = theirs()
    const { material } = await adopt({ id })
    await test.custody.destroy(material, test.nextLineage())
    await test.custody.destroy(material, test.nextLineage())
    expect(await inToken(id)).to.equal(1)
    const { records } = await test.custody.list()
    expect(records.some(({ label }) => label.includes(material.materialId))).to.equal(false)
    const again = await adopt({ id })
    expect(again.material.materialId).to.not.equal(material.materialId)
    await test.custody.encrypt(again.material, TEXT, AAD)
  })

  it('ARCH-D11: a plan that has lost its mark destroys nothing either, because the record has it', async () => {
    const { id } = theirs()
    const { material } = await adopt({ id })
    const objects = material.objects.map(({ role, tokenSerial, keyType, id: objectId }) => {
      return { role, tokenSerial, keyType, id: objectId }
    })
    await test.custody.destroy({ ...material, objects }, test.nextLineage())
    expect(await inToken(id)).to.equal(1)
  })

  it('a foreign object is never made', async () => {
    const plan = test.custody.plan()
    const objects = plan.objects.map((object) => ({ ...object, foreign: true as const }))
    const failure = await test.custody.make({ ...plan, objects }, test.origin()).catch((e) => e)
    expect(failure).to.have.property('code', 'INTERNAL')
    expect(await inToken(itemAt(objects, 0).id)).to.equal(0)
  })
})

describe('a token without AES-GCM, or that says nothing of the past of its keys', function () {
  this.timeout(60_000)

  it('ARCH-D7: adopts nothing without AES-GCM', async () => {
    const test = await PoolUnderTest.start({ withoutGcm: true })
    const failure = await test.custody
      .adopt({ id: '01' }, { origin: test.origin() })
      .catch((error) => error)
    await test.stop()
    expect(failure).to.have.property('code', 'UNSUPPORTED')
  })

  it('ARCH-D6: does not take silence about the past for a clean one', async () => {
    const test = await PoolUnderTest.start({ profile: { reportsHistory: false } })
    try {
      const key = freshName()
      visitToken(test.token, 'makeForeignKey', JSON.stringify(key))
      const failure = await test.custody.adopt(key, { origin: test.origin() }).catch((e) => e)
      expect(failure.message).to.include('CKA_LOCAL is not shown')
      const options = { origin: test.origin(), acceptImported: true }
      expect((await test.custody.adopt(key, options)).history).to.deep.equal({})
    } finally {
      await test.stop()
    }
  })
})
