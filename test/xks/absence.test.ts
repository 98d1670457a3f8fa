import { expect } from 'chai'
import { Absence, type CatchUp, withConfirmedAbsence } from '../../src/xks/absence.ts'
import { ENCRYPT, decryptOf, refusal, XksRig } from './rig.ts'

type State = Awaited<ReturnType<CatchUp>>

describe('what is not known', () => {
  const absent = () => Promise.reject(new Absence('KeyNotFoundException'))
  const errorOf = (work: Promise<unknown>): Promise<Error> =>
    work.then(
      () => expect.fail('it succeeded'),
      (error: Error) => error,
    )

  it('XKS X-16: is called absent when there is nothing newer', async () => {
    const error = await errorOf(withConfirmedAbsence(absent, async () => 'same'))
    expect(error).to.include({ errorName: 'KeyNotFoundException' })
  })

  it('XKS X-16: is InternalException, which AWS KMS repeats, while storage cannot say', async () => {
    const error = await errorOf(withConfirmedAbsence(absent, async () => 'unsure'))
    expect(error).to.include({ errorName: 'InternalException' })
  })

  it('is looked for once more when storage has caught up', async () => {
    let tries = 0
    const found = async () => {
      tries += 1
      return tries > 1 ? 'found' : absent()
    }
    expect(await withConfirmedAbsence(found, async () => 'newer')).to.equal('found')
    const error = await errorOf(withConfirmedAbsence(absent, async () => 'newer'))
    expect(error).to.include({ errorName: 'KeyNotFoundException' })
  })

  it('costs nothing where nothing is absent, and leaves other errors alone', async () => {
    const never = () => expect.fail('storage was asked')
    expect(await withConfirmedAbsence(async () => 'found', never)).to.equal('found')
    const error = await errorOf(withConfirmedAbsence(() => Promise.reject(new Error('x')), never))
    expect(error.message).to.equal('x')
  })

  describe('of the four operations', () => {
    let rig: XksRig
    let state: State
    beforeEach(() => {
      rig = new XksRig()
      state = 'unsure'
      rig.parts = { ...rig.parts, catchUp: async () => state }
    })

    it('XKS X-16: a key', async () => {
      const ask = () => rig.perform('Encrypt', ENCRYPT, { externalKeyId: 'other' })
      await refusal(ask(), 500, 'InternalException')
      state = 'same'
      await refusal(ask(), 404, 'KeyNotFoundException')
    })

    for (const adopted of [false, true])
      it(`XKS X-16: a material, of a key that was ${adopted ? 'adopted' : 'made here'}`, async () => {
        const before = rig.key
        rig.rotate()
        const younger = decryptOf(await rig.encrypt())
        rig.key = { ...before, adopted }
        await refusal(rig.perform('Decrypt', younger), 500, 'InternalException')
        state = 'same'
        await refusal(rig.perform('Decrypt', younger), 400, 'InvalidCiphertextException')
      })

    it('a ciphertext that its own material refuses needs no second look', async () => {
      const sealed = decryptOf(await rig.encrypt())
      const bad = { ...sealed, authenticationTag: Buffer.alloc(16).toString('base64') }
      await refusal(rig.perform('Decrypt', bad), 400, 'InvalidCiphertextException')
    })
  })
})
