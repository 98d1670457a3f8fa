import { expect } from 'chai'
import { CustodyError } from '../../../src/crypto/custody-error.ts'
import { expectKmsError, Rig } from '../rig.ts'

describe('RotateKeyOnDemand', () => {
  let rig: Rig
  let key: { keyId: string; arn: string }
  beforeEach(async () => {
    rig = await new Rig().start()
    key = await rig.makeKey()
  })
  afterEach(() => rig.remove())

  it('makes new material current, and what was encrypted before still decrypts', async () => {
    const old = await rig.encrypt(key.keyId, 'old')
    const before = currentMaterialId()
    expect(await rig.ask('RotateKeyOnDemand', { keyId: key.arn })).to.deep.equal({ keyId: key.arn })
    expect(currentMaterialId()).not.to.equal(before)
    const fresh = await rig.encrypt(key.keyId, 'fresh')
    await rig.restart()
    expect(await rig.decrypt(old)).to.equal('old')
    expect(await rig.decrypt(fresh)).to.equal('fresh')
    const { keyMaterialId } = await rig.ask('Decrypt', { ciphertextBlob: old })
    expect(keyMaterialId).to.equal(before)
  })

  it('KMS-45: refuses the 26th', async () => {
    for (let i = 0; i < 25; i++) await rig.ask('RotateKeyOnDemand', { keyId: key.keyId })
    await expectKmsError(
      rig.ask('RotateKeyOnDemand', { keyId: key.keyId }),
      'LimitExceededException',
      `The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: ${key.arn}`,
    )
    expect(rig.custody.size).to.equal(26)
  })

  it('KMS-26 KMS-24: existence comes first, then the state, then the limit', async () => {
    for (let i = 0; i < 25; i++) await rig.ask('RotateKeyOnDemand', { keyId: key.keyId })
    await rig.storage.change((draft) => {
      const latest = draft.findKey(key.arn)
      if (latest) draft.putKey({ ...latest, state: 'Disabled' })
    })
    await expectKmsError(
      rig.ask('RotateKeyOnDemand', { keyId: key.keyId }),
      'DisabledException',
      `${key.arn} is disabled.`,
    )
  })

  it('FM-F28: of many at once each makes exactly one material, while the key goes on working', async () => {
    const rotations = Array.from({ length: 30 }, () =>
      rig.ask('RotateKeyOnDemand', { keyId: key.keyId }).then(
        () => 1,
        () => 0,
      ),
    )
    const uses = Array.from({ length: 100 }, async (_, i) =>
      expect(await rig.decrypt(await rig.encrypt(key.keyId, `${i}`))).to.equal(`${i}`),
    )
    await Promise.all(uses)
    const succeeded = (await Promise.all(rotations)).filter(Boolean).length
    expect(succeeded).to.equal(25)
    expect(rig.storage.snapshot.materialsOf(key.arn)).to.have.lengthOf(26)
    expect(rig.storage.snapshot.intents()).to.deep.equal([])
  })

  it('FM-F27: a deletion that is asked for meanwhile waits, then wins wholly', async () => {
    const rotation = rig.ask('RotateKeyOnDemand', { keyId: key.keyId })
    await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId })
    await rotation
    expect(rig.storage.snapshot.findKey(key.arn)?.state).to.equal('PendingDeletion')
    expect(rig.storage.snapshot.materialsOf(key.arn)).to.have.lengthOf(2)
    await expectKmsError(
      rig.ask('RotateKeyOnDemand', { keyId: key.keyId }),
      'KMSInvalidStateException',
    )
  })

  it('ARCH-D11: a failure changes nothing of the key', async () => {
    const before = rig.storage.snapshot.findKey(key.arn)
    rig.custody.loseNextMade(new CustodyError('DEVICE_GONE', 'gone'))
    await expectKmsError(
      rig.ask('RotateKeyOnDemand', { keyId: key.keyId }),
      'KeyUnavailableException',
    )
    expect(rig.storage.snapshot.findKey(key.arn)).to.equal(before)
    expect(rig.storage.snapshot.intents()).to.have.lengthOf(1)
    await rig.ask('RotateKeyOnDemand', { keyId: key.keyId })
  })

  function currentMaterialId(): string | undefined {
    return rig.storage.snapshot.findKey(key.arn)?.currentMaterialId
  }
})
