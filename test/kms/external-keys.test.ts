import { expect } from 'chai'
import { CustodyError } from '../../src/crypto/custody-error.ts'
import type { ExternalFacts } from '../../src/crypto/external-facts.ts'
import type { Material, MaterialOrigin } from '../../src/crypto/key-custody.ts'
import { blobHeader, writeCiphertextBlob } from '../../src/kms/ciphertext-blob.ts'
import { LAST_ENCRYPTION, ROTATE_ENCRYPTIONS } from '../../src/kms/encryption-budget.ts'
import {
  type Adoption,
  adoptExternalKey,
  makeExternalKey,
  pinExternalKey,
  setExternalKeyState,
} from '../../src/kms/external-keys.ts'
import { EXTERNAL_SCOPE, type Key, type KeyMaterial } from '../../src/kms/key.ts'
import { type MaterialRecord, rebuildKeys } from '../../src/kms/rebuild-keys.ts'
import { rotateExternalKey } from '../../src/kms/rotation.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import { caller, expectKmsError, Rig } from './rig.ts'

const FACTS: ExternalFacts = {
  storeName: 'payments',
  externalKeyId: 'k1',
  keyUsage: ['ENCRYPT', 'DECRYPT'],
  kmsKeyArn: 'arn:aws:kms:eu-west-1:111122223333:key/x',
  adopted: false,
  opensHashedAad: false,
}

const LATER = 'arn:aws:kms:eu-west-1:111122223333:key/later'

describe('external keys', () => {
  let rig: Rig
  beforeEach(async () => {
    rig = await new Rig().start()
  })
  afterEach(() => rig.remove())

  const context = () => ({
    storage: rig.storage,
    custody: rig.custody,
    clock: rig.clock,
    notify: (notice: Rig['notices'][number]) => rig.notices.push(notice),
  })
  const make = (facts: Partial<ExternalFacts> = {}) =>
    makeExternalKey(context(), { ...FACTS, ...facts })
  const found = () => rig.storage.snapshot.findExternalKey('payments', 'k1')

  /** A key that was in the token before us. */
  async function somebodysKey(): Promise<Material> {
    const { external: _none, ...origin } = originOf('somebody')
    return rig.custody.make(rig.custody.plan(), origin)
  }

  function adoption(material: Material, changes: Partial<Adoption> = {}): Adoption {
    return {
      facts: { ...FACTS, adopted: true },
      encryptionsSoFar: 1000,
      adopt: async (_origin, _turn, planned) => {
        await planned(planOf(material))
        return material
      },
      ...changes,
    }
  }

  describe('are made', () => {
    it('ARCH-D11: with material in the token whose record says everything but the store itself', async () => {
      const key = await make()
      expect(found()).to.deep.equal(key)
      expect(key).to.deep.include({ ...EXTERNAL_SCOPE, origin: 'XKS', policy: '', external: FACTS })
      expect(key.arn).to.equal(`arn:hsm-bridge:xks:::key/${key.keyId}`)
      expect(rig.custody.originOf(key.currentMaterialId)).to.deep.include({
        ...EXTERNAL_SCOPE,
        keyId: key.keyId,
        origin: 'XKS',
        external: FACTS,
      })
      expect(rig.storage.snapshot.intents()).to.deep.equal([])
    })

    it('XKS U-05: once under one name, also when two make it at the same time', async () => {
      const outcomes = await Promise.allSettled([make(), make()])
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).to.have.lengthOf(1)
      await expectKmsError(make(), 'AlreadyExistsException', 'payments/k1 exists already')
      expect(rig.custody.size).to.equal(1)
      expect(rig.storage.snapshot.intents()).to.deep.equal([])
      await make({ storeName: 'other' })
    })
  })

  it('are disabled and enabled, and nothing else is by these means', async () => {
    const { arn } = await make()
    expect((await setExternalKeyState(context(), arn, 'Disabled')).state).to.equal('Disabled')
    const again = await setExternalKeyState(context(), arn, 'Disabled')
    expect(again.rowVersion).to.equal(2)
    expect((await setExternalKeyState(context(), arn, 'Enabled')).state).to.equal('Enabled')
    const kms = await rig.makeKey()
    await expectKmsError(setExternalKeyState(context(), kms.arn, 'Disabled'), 'NotFoundException')
  })

  it('XKS Z-05: are pinned to one KMS key and set free again, in storage too', async () => {
    const { arn } = await make()
    const kmsKeyArn = 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'
    const pinned = await pinExternalKey(context(), arn, kmsKeyArn)
    expect(pinned.external).to.deep.include({ kmsKeyArn })
    expect((await pinExternalKey(context(), arn, kmsKeyArn)).rowVersion).to.equal(2)
    const free = await pinExternalKey(context(), arn, undefined)
    expect(free.external).not.to.have.property('kmsKeyArn')
    const kms = await rig.makeKey()
    await expectKmsError(pinExternalKey(context(), kms.arn, kmsKeyArn), 'NotFoundException')
  })

  it('rotate: new material encrypts, every old one stays, and its record tells the same facts', async () => {
    const key = await make()
    const rotated = await rotateExternalKey(context(), key)
    const twice = await rotateExternalKey(context(), rotated)
    const materials = rig.storage.snapshot.materialsOf(key.arn)
    expect(materials.map(({ material }) => material.materialId)).to.deep.equal([
      key.currentMaterialId,
      rotated.currentMaterialId,
      twice.currentMaterialId,
    ])
    expect(rig.custody.originOf(twice.currentMaterialId)?.external).to.deep.equal(FACTS)
    expect(twice.external).to.deep.equal(FACTS)
  })

  describe('are hidden from the KMS API', () => {
    it('in lists, counts and by every name', async () => {
      const key = await make()
      const inScope = caller('eve', undefined, { region: 'xks' })
      for (const by of [inScope, caller('root', [], { region: 'xks' })]) {
        expect((await rig.ask('ListKeys', {}, { by })).keys).to.deep.equal([])
        for (const keyId of [key.arn, key.keyId, `arn:aws:kms:xks::key/${key.keyId}`])
          await expectKmsError(rig.ask('DescribeKey', { keyId }, { by }), 'NotFoundException')
      }
      expect((await rig.ask('ListKeys')).keys).to.deep.equal([])
    })

    it('also when a ciphertext names their material in a region called xks', async () => {
      const key = await make()
      const [made] = rig.storage.snapshot.materialsOf(key.arn)
      if (!made) return expect.fail('no material')
      const by = caller('root', [], { region: 'xks' })
      const header = blobHeader(made.material, 12)
      const sealed = { iv: Buffer.alloc(12, 1), ciphertext: Buffer.alloc(40, 2) }
      const ciphertextBlob = writeCiphertextBlob(header, sealed)
      const before = rig.custody.countOf('decrypt')
      await expectKmsError(rig.ask('Decrypt', { ciphertextBlob }, { by }), 'AccessDeniedException')
      expect(rig.custody.countOf('decrypt')).to.equal(before)
    })

    it('and no scheduled work destroys or rotates them', async () => {
      const key = await make()
      rig.clock.pass(10 * 365 * 24 * 3600 * 1000)
      await rig.kms.heartbeat.accept()
      expect((await rig.kms.rotation.rotateDueKeys()).rotated).to.deep.equal([])
      expect((await rig.kms.deletion.destroyDueKeys()).destroyed).to.deep.equal([])
      expect(found()).to.deep.equal(key)
    })
  })

  describe('count their encryptions (ARCH-D7)', () => {
    /** As if so many had been made. */
    async function spent(key: Key, encryptionsReserved: number): Promise<KeyMaterial> {
      const made = currentOf(key)
      await rig.storage.change((draft) => draft.putMaterial({ ...made, encryptionsReserved }))
      return currentOf(key)
    }
    const currentOf = (key: Key): KeyMaterial =>
      rig.storage.snapshot.findMaterial('xks', key.currentMaterialId) ?? expect.fail('no material')

    it('and rotate by themselves at the limit', async () => {
      const key = await make()
      await rig.kms.budget.spend(await spent(key, ROTATE_ENCRYPTIONS))
      await settled(() => found()?.currentMaterialId !== key.currentMaterialId)
      expect(found()?.external).to.deep.equal(FACTS)
    })

    it('unless they were adopted: those go on to the end and stop there', async () => {
      const key = await adoptExternalKey(context(), adoption(await somebodysKey()))
      await rig.kms.budget.spend(await spent(key, ROTATE_ENCRYPTIONS))
      await settled(() => rig.notices.some(({ message }) => message.includes('adopted key nears')))
      expect(found()?.currentMaterialId).to.equal(key.currentMaterialId)
      await rig.restart()
      const last = await spent(key, LAST_ENCRYPTION)
      const refused = Promise.resolve().then(() => rig.kms.budget.spend(last))
      await expectKmsError(refused, 'KMSInvalidStateException')
    })

    it('FM-F47: encryptions are set aside for them before the database may go away', async () => {
      const key = await make()
      await rig.kms.reserveAhead()
      expect(currentOf(key).encryptionsReserved).to.be.greaterThan(0)
    })
  })

  describe('are adopted', () => {
    it('as they are, with the encryptions that they have made', async () => {
      const material = await somebodysKey()
      let told: MaterialOrigin | undefined
      const adopt: Adoption['adopt'] = async (origin, _turn, planned) => {
        told = origin
        await planned(planOf(material))
        expect(rig.storage.snapshot.intents()).to.have.lengthOf(1)
        return material
      }
      const key = await adoptExternalKey(context(), adoption(material, { adopt }))
      expect(key.external).to.deep.equal({ ...FACTS, adopted: true })
      expect(told).to.deep.include({ external: { ...FACTS, adopted: true }, origin: 'XKS' })
      expect(told).not.to.have.property('arn')
      expect(rig.storage.snapshot.materialsOf(key.arn)[0]).to.deep.include({
        encryptionsReserved: 1000,
        lineage: told?.lineage,
      })
      expect(rig.storage.snapshot.intents()).to.deep.equal([])
    })

    it('once: an object that is a key of ours already is refused before anything is recorded', async () => {
      const kms = await rig.makeKey()
      const [ours] = rig.storage.snapshot.materialsOf(kms.arn)
      if (!ours) return expect.fail('no material')
      const renamed = { ...ours.material, materialId: '0'.repeat(64) }
      await expectKmsError(
        adoptExternalKey(context(), adoption(renamed)),
        'AlreadyExistsException',
        `that object is the key ${kms.arn} already`,
      )
      expect(rig.storage.snapshot.intents()).to.deep.equal([])
      expect(rig.custody.countOf('destroy')).to.equal(0)
    })

    it('or not: what the token refuses leaves no intent and no key', async () => {
      const material = await somebodysKey()
      const adopt: Adoption['adopt'] = async (_origin, _turn, planned) => {
        await planned(planOf(material))
        throw new CustodyError('UNSUPPORTED', 'no room for a record')
      }
      const refused = await adoptExternalKey(context(), adoption(material, { adopt })).catch(
        (error: Error) => error.message,
      )
      expect(refused).to.equal('no room for a record')
      expect(rig.storage.snapshot.intents()).to.deep.equal([])
      expect(found()).to.equal(undefined)
    })

    it('not under a name that was taken meanwhile: then the record is taken back', async () => {
      const material = await somebodysKey()
      const other = await make({ externalKeyId: 'other' })
      const arn = `${other.arn}-taken`
      const taken = { ...other, arn, external: FACTS, rowVersion: 0 }
      const adopt: Adoption['adopt'] = async (_origin, _turn, planned) => {
        await planned(planOf(material))
        await rig.storage.change((draft) => draft.putKey(taken))
        return material
      }
      await expectKmsError(
        adoptExternalKey(context(), adoption(material, { adopt })),
        'AlreadyExistsException',
      )
      expect(rig.storage.snapshot.intents()).to.deep.equal([])
      expect(rig.custody.has(material.materialId)).to.equal(false)
      expect(found()?.external?.adopted).to.equal(false)
    })
  })

  describe('are rebuilt', () => {
    async function rebuilt(records: readonly MaterialRecord[]) {
      const lost = await openStorage({ path: `${rig.directory}/lost.db` })
      const report = await lost.change((draft) => rebuildKeys(draft, records, [], true))
      const key = lost.snapshot.findExternalKey('payments', 'k1')
      const materials = key ? lost.snapshot.materialsOf(key.arn) : []
      const reserved = materials.map(({ encryptionsReserved }) => encryptionsReserved)
      await lost.close()
      return { report, key, materials: materials.length, reserved }
    }
    const records = (): MaterialRecord[] =>
      [...rig.storage.snapshot.allMaterials()].map(({ material }) => ({
        material,
        origin: rig.custody.originOf(material.materialId) ?? expect.fail('no record'),
      }))

    it('FM-F29: with store, name, usage and pin from the records of their materials', async () => {
      const rotated = await rotateExternalKey(context(), await make())
      const { report, key, materials } = await rebuilt(records().toReversed())
      expect(report.keys).to.deep.equal([rotated.arn])
      expect(materials).to.equal(2)
      expect(key).to.deep.include({
        external: FACTS,
        state: 'Disabled',
        policy: '',
        currentMaterialId: rotated.currentMaterialId,
      })
    })

    it('XKS Z-05: as Disabled, for a pin or a policy may have been there that no record tells', async () => {
      const { arn } = await make()
      await pinExternalKey(context(), arn, LATER)
      await setExternalKeyState(context(), arn, 'Disabled')
      const { key } = await rebuilt(records())
      expect(key?.state).to.equal('Disabled')
    })

    it('XKS Z-05: with the pin of their youngest material', async () => {
      const { arn } = await make()
      const pinned = await pinExternalKey(context(), arn, LATER)
      await rotateExternalKey(context(), pinned)
      expect((await rebuilt(records().toReversed())).key?.external?.kmsKeyArn).to.equal(LATER)
    })

    it('XKS Z-05: a younger material without a pin takes none off', async () => {
      const { arn } = await make()
      await rotateExternalKey(context(), await pinExternalKey(context(), arn, undefined))
      expect((await rebuilt(records())).key?.external).to.deep.equal(FACTS)
    })

    it('XKS Z-05: those that storage knows get Disabled, and the pin of what was made since', async () => {
      const { arn } = await make()
      const before = found()
      await pinExternalKey(context(), arn, LATER)
      await rotateExternalKey(context(), found() ?? expect.fail('no key'))
      const [, younger] = records()
      const [old] = rig.storage.snapshot.materialsOf(arn)
      if (!younger || !old || !before) return expect.fail('no record')
      const storage = await openStorage({ path: `${rig.directory}/older.db` })
      await storage.change((draft) => {
        draft.putKey({ ...before, rowVersion: 0 })
        draft.putMaterial(old)
      })
      await storage.change((draft) => rebuildKeys(draft, [younger], [], true))
      expect(storage.snapshot.findKey(arn)).to.deep.include({
        state: 'Disabled',
        currentMaterialId: younger.material.materialId,
        external: { ...FACTS, kmsKeyArn: LATER },
      })
      await storage.close()
    })

    it('XKS Z-05: in a database that is not older, what a crash cut off takes no pin back and disables nothing', async () => {
      const { arn } = await make()
      const before = found() ?? expect.fail('no key')
      const [old] = rig.storage.snapshot.materialsOf(arn)
      await rotateExternalKey(context(), before)
      const [, cutOff] = records()
      if (!old || !cutOff) return expect.fail('no record')
      const storage = await openStorage({ path: `${rig.directory}/cut-off.db` })
      const external = { ...FACTS, kmsKeyArn: LATER }
      await storage.change((draft) => {
        draft.putKey({ ...before, external, rowVersion: 0 })
        draft.putMaterial(old)
      })
      await storage.change((draft) => rebuildKeys(draft, [cutOff], [], false))
      const currentMaterialId = cutOff.material.materialId
      const now = storage.snapshot.findKey(arn)
      expect(now).to.deep.include({ state: 'Enabled', currentMaterialId, external })
      await storage.close()
    })

    it('ARCH-D7: an adopted one encrypts no more until it is rotated: it would not rotate by itself', async () => {
      await rotateExternalKey(context(), await make({ adopted: true }))
      const { reserved } = await rebuilt(records())
      expect(reserved).to.deep.equal([LAST_ENCRYPTION, LAST_ENCRYPTION])
    })

    it('ARCH-D7: one that we have made may go on: it rotates at its next use', async () => {
      await make()
      expect((await rebuilt(records())).reserved).to.deep.equal([ROTATE_ENCRYPTIONS])
    })

    it('XKS U-05: not a second one under a name, and none that this version does not understand', async () => {
      await make()
      const [record] = records()
      if (!record) return expect.fail('no record')
      const other = { ...record.material, materialId: 'f'.repeat(64) }
      const second = { material: other, origin: { ...record.origin, keyId: 'other', lineage: 99 } }
      const { external: _none, ...nameless } = record.origin
      const odd = [
        { ...record.origin, keyId: 'odd1', accountId: '111122223333' },
        { ...nameless, keyId: 'odd2' },
        { ...record.origin, keyId: 'odd3', origin: 'AWS_KMS' },
      ].map((origin, n) => ({ material: { ...other, materialId: `${n}`.repeat(64) }, origin }))
      const { report } = await rebuilt([record, second, ...odd])
      expect(report.keys).to.have.lengthOf(1)
      expect(report.skipped).to.have.lengthOf(4)
    })
  })
})

function planOf({ proof: _proof, ...plan }: Material) {
  return plan
}

function originOf(keyId: string): MaterialOrigin {
  const names = { keyId, accountId: '', region: '', keySpec: 'AES', keyUsage: '', origin: '' }
  return { ...names, lineage: 0, createdAt: 0 }
}

/** What is done in the background. */
async function settled(holds: () => boolean): Promise<void> {
  for (let turn = 0; turn < 200 && !holds(); turn++)
    await new Promise((resolve) => setTimeout(resolve, 5))
  expect(holds()).to.equal(true)
}
