import { expect } from 'chai'
import {
  ALARM_ENCRYPTIONS,
  BLOCK_ENCRYPTIONS,
  EncryptionBudget,
  LAST_ENCRYPTION,
  ROTATE_ENCRYPTIONS,
} from '../../src/kms/encryption-budget.ts'
import { CustodyError } from '../../src/crypto/custody-error.ts'
import type { KeyMaterial } from '../../src/kms/key.ts'
import { FakeCustody } from '../support/fake-custody.ts'
import { expectKmsError, Rig } from './rig.ts'

describe('EncryptionBudget', () => {
  let rig: Rig
  let arn: string
  beforeEach(async () => {
    rig = await new Rig().start()
    arn = (await rig.makeKey()).arn
  })
  afterEach(() => rig.remove())

  it('ARCH-D7: what was spent is always reserved in storage before', async () => {
    await rig.encrypt(arn)
    expect(material().encryptionsReserved).to.equal(BLOCK_ENCRYPTIONS)
    await rig.restart()
    expect(material().encryptionsReserved).to.equal(BLOCK_ENCRYPTIONS)
    await rig.encrypt(arn)
    expect(material().encryptionsReserved).to.equal(2 * BLOCK_ENCRYPTIONS)
  })

  it('spends without asking storage, and reserves the next block ahead of need', async () => {
    await rig.encrypt(arn)
    const { version } = rig.storage.snapshot
    const { budget, waits } = await spendMany(BLOCK_ENCRYPTIONS / 2 - 10)
    expect(rig.storage.snapshot.version).to.equal(version + 1)
    expect(waits).to.equal(1) // the first of a process
    expect(await budget(20)).to.equal(0)
    await rig.storage.change(() => undefined)
    expect(rig.storage.snapshot.version).to.equal(version + 2)
    expect(await budget(BLOCK_ENCRYPTIONS)).to.equal(0)
  })

  it('many first uses at the same time share one transaction', async () => {
    const keys = await Promise.all(Array.from({ length: 20 }, () => rig.makeKey()))
    const { version } = rig.storage.snapshot
    await Promise.all(keys.map((key) => rig.encrypt(key.arn)))
    expect(rig.storage.snapshot.version).to.equal(version + 1)
  })

  it('gives back what was not used at an orderly end, and spends nothing more', async () => {
    for (let i = 0; i < 5; i++) await rig.encrypt(arn)
    await rig.kms.close()
    expect(material().encryptionsReserved).to.equal(5)
    await expectKmsError(rig.encrypt(arn), 'KMSInternalException')
  })

  it('ARCH-D7: alarms from 2^30 on', async () => {
    await preset(ALARM_ENCRYPTIONS - BLOCK_ENCRYPTIONS)
    await rig.encrypt(arn)
    expect(rig.notices.map(({ level, keyArn }) => ({ level, keyArn }))).to.deep.equal([
      { level: 'warn', keyArn: arn },
    ])
  })

  it('FM-F50: rotates by itself at 2^31, once, and not on the account of the 25', async () => {
    await preset(ROTATE_ENCRYPTIONS - BLOCK_ENCRYPTIONS)
    const before = material()
    await Promise.all(Array.from({ length: 10 }, () => rig.encrypt(arn)))
    await rig.kms.close()
    const key = rig.storage.snapshot.findKey(arn)
    expect(key?.currentMaterialId).not.to.equal(before.material.materialId)
    expect(key?.onDemandRotations).to.equal(0)
    expect(rig.storage.snapshot.materialsOf(arn)).to.have.lengthOf(2)
  })

  it('FM-F50: goes on while the rotation fails, and stops at the last encryption', async () => {
    const last = Math.floor(LAST_ENCRYPTION / BLOCK_ENCRYPTIONS) * BLOCK_ENCRYPTIONS
    await preset(last - BLOCK_ENCRYPTIONS)
    rig.custody.beforeNext('make', () => {
      throw new CustodyError('DEVICE_GONE', 'gone')
    })
    await rig.encrypt(arn)
    expect(material().encryptionsReserved).to.equal(last)
    await rig.restart()
    await expectKmsError(
      rig.encrypt(arn),
      'KMSInvalidStateException',
      `${arn} has reached the number of encryptions that its key material allows. Rotate the key.`,
    )
    expect(rig.notices.some(({ message }) => message.includes('could not be rotated'))).to.equal(
      true,
    )
  })

  it('FM-F47: sets encryptions aside ahead for keys that were used of late, and for no others', async () => {
    const idle = await rig.makeKey()
    await rig.encrypt(arn)
    await rig.kms.lastUses.flush()
    await rig.restart()
    await rig.kms.reserveAhead()
    expect(material().encryptionsReserved).to.equal(2 * BLOCK_ENCRYPTIONS)
    expect(rig.storage.snapshot.materialsOf(idle.arn)[0]?.encryptionsReserved).to.equal(0)
    const { version } = rig.storage.snapshot
    await rig.kms.reserveAhead()
    await rig.encrypt(arn)
    expect(rig.storage.snapshot.version).to.equal(version)
  })

  it('counts nothing under a scheme whose IVs cannot collide in practice', async () => {
    const other = await new Rig(new FakeCustody('AES_CBC_HMAC')).start()
    const key = await other.makeKey()
    await other.encrypt(key.arn)
    expect(other.storage.snapshot.materialsOf(key.arn)[0]?.encryptionsReserved).to.equal(0)
    await other.remove()
  })

  function material(): KeyMaterial {
    const [oldest] = rig.storage.snapshot.materialsOf(arn)
    return oldest ?? expect.fail('no material')
  }

  async function preset(encryptionsReserved: number): Promise<void> {
    await rig.storage.change((draft) => draft.putMaterial({ ...material(), encryptionsReserved }))
  }

  /** Spends on a budget of its own, as a restarted process would. */
  async function spendMany(count: number) {
    const budget = new EncryptionBudget(rig.storage, { near: () => {}, reached: () => {} })
    const spend = async (times: number) => {
      let waits = 0
      for (let i = 0; i < times; i++) {
        const wait = budget.spend(material())
        if (wait) waits += 1
        if (wait) await wait
      }
      return waits
    }
    return { waits: await spend(count), budget: spend }
  }
})
