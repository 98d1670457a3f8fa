import { expect } from 'chai'
import { type MaterialRecord, rebuildKeys } from '../../src/kms/rebuild-keys.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { Rig } from './rig.ts'

describe('rebuildKeys', () => {
  let rig: Rig
  beforeEach(async () => {
    rig = await new Rig().start()
  })
  afterEach(() => rig.remove())

  it('FM-F29: from the records alone every old ciphertext decrypts', async () => {
    const key = await rig.makeKey({ description: 'lost with the database' })
    const blobs = [await rig.encrypt(key.keyId, '0')]
    for (let i = 1; i < 4; i++) {
      await rig.ask('RotateKeyOnDemand', { keyId: key.keyId })
      blobs.push(await rig.encrypt(key.keyId, `${i}`))
    }
    const before = rig.storage.snapshot.findKey(key.arn)
    const records = recordsOf(rig.storage)
    rig.database = 'new.db'
    await rig.restart()
    const report = await rig.storage.change((draft) =>
      rebuildKeys(draft, records.toReversed(), [], true),
    )
    expect(report.keys).to.deep.equal([key.arn])
    expect(report.materials).to.have.lengthOf(4)
    for (const [i, blob] of blobs.entries()) expect(await rig.decrypt(blob)).to.equal(`${i}`)
    const after = rig.storage.snapshot.findKey(key.arn)
    expect(after?.currentMaterialId).to.equal(before?.currentMaterialId)
    expect(after).to.include({ state: 'Enabled', description: '' })
  })

  it('FM-F30: an older database gets what it lacks and keeps what it has', async function () {
    if (rig.storage.isShared) this.skip() // its own tools make its copies
    const key = await rig.makeKey({ description: 'kept' })
    await rig.storage.backup(`${rig.directory}/old.db`)
    await rig.ask('RotateKeyOnDemand', { keyId: key.keyId })
    const younger = await rig.makeKey()
    const records = recordsOf(rig.storage)
    const old = await openStorage({ path: `${rig.directory}/old.db` })
    const report = await old.change((draft) => rebuildKeys(draft, records, [], true))
    expect(report.keys).to.deep.equal([younger.arn])
    expect(old.snapshot.findKey(key.arn)?.description).to.equal('kept')
    expect(old.snapshot.findKey(key.arn)?.currentMaterialId).to.equal(
      rig.storage.snapshot.findKey(key.arn)?.currentMaterialId,
    )
    const again = await old.change((draft) => rebuildKeys(draft, records, [], true))
    expect(again).to.deep.equal({ keys: [], materials: [], skipped: [] })
    await old.close()
  })

  it('adopted material has no open intent any more', async () => {
    let intents = rig.storage.snapshot.intents()
    rig.custody.beforeNext('make', () => {
      intents = rig.storage.snapshot.intents()
    })
    await rig.makeKey()
    const records = recordsOf(rig.storage)
    const lost = await openStorage({ path: `${rig.directory}/new.db` })
    await lost.change((draft) => intents.forEach((intent) => draft.putIntent(intent)))
    await lost.change((draft) => rebuildKeys(draft, records, lost.snapshot.intents(), true))
    expect(lost.snapshot.intents()).to.deep.equal([])
    await lost.close()
  })

  it('brings no destroyed key back and nothing that it does not understand', async () => {
    const key = await rig.makeKey()
    const [record] = recordsOf(rig.storage)
    if (!record) return expect.fail('no record')
    const { accountId, region } = record.origin
    await rig.storage.change((draft) =>
      draft.buryKey({ ...key, accountId, region, destroyedAt: 1, materialIds: [] }),
    )
    const odd = { ...record, origin: { ...record.origin, keyId: 'x', keySpec: 'constructor' } }
    const report = await rig.storage.change((draft) => rebuildKeys(draft, [record, odd], [], true))
    expect(report.keys).to.deep.equal([])
    expect(report.skipped).to.have.lengthOf(2)
  })
})

/** What the token's records would say. */
function recordsOf({ snapshot }: Storage): MaterialRecord[] {
  return [...snapshot.allMaterials()].map(({ material, keyArn, lineage, createdAt }) => {
    const key = snapshot.findKey(keyArn)
    if (!key) throw new TypeError('material without a key')
    const { keyId, accountId, region, keySpec, keyUsage, origin } = key
    return {
      material,
      origin: { keyId, accountId, region, keySpec, keyUsage, origin, lineage, createdAt },
    }
  })
}
