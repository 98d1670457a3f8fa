import { expect } from 'chai'
import { CustodyError } from '../../src/crypto/custody-error.ts'
import { CKR, CKR_CLASSES, CKR_ROWS } from '../../src/pkcs11/ckr.ts'
import { Pkcs11Error } from '../../src/pkcs11/pkcs11-error.ts'
import { fault, faultReply, laneErrorOf } from '../../src/token/lane-fault.ts'

describe('what the front hears of an error', () => {
  it('is what the CKR table says, code by code (FM-3.1)', () => {
    for (const { code, name, class: ckrClass } of CKR_ROWS) {
      const reply = faultReply(laneErrorOf(new Pkcs11Error(code, 'C_Encrypt')))
      const { custodyCode, advice } = CKR_CLASSES[ckrClass]
      if (ckrClass !== 'AMBIGUOUS')
        expect(reply, name).to.include({ code: custodyCode, advice, ckr: code, call: 'C_Encrypt' })
      expect(reply.message).to.equal(`C_Encrypt returned ${name}`)
    }
  })

  it('never blames a ciphertext for an ambiguous code: that takes evidence (ARCH-D10)', () => {
    const error = new Pkcs11Error(CKR.CKR_GENERAL_ERROR, 'C_Decrypt')
    expect(laneErrorOf(error)).to.include({ code: 'INTERNAL', advice: 'keep' })
    const sick = { code: 'DEVICE_GONE', advice: 'replace' } as const
    expect(laneErrorOf(error, sick)).to.include(sick)
  })

  it('keeps what was decided before', () => {
    const decided = fault('KEY_UNAVAILABLE', 'learn', 'no such key')
    expect(laneErrorOf(decided)).to.equal(decided)
  })

  it('of a token that is gone is to replace the lane, of other custody errors to keep it', () => {
    expect(laneErrorOf(new CustodyError('DEVICE_GONE', '-')).advice).to.equal('replace')
    expect(laneErrorOf(new CustodyError('INPUT', '-')).advice).to.equal('keep')
  })

  it('of a mistake of ours is to replace the lane', () => {
    expect(laneErrorOf(new TypeError('key is not a handle'))).to.include({
      code: 'INTERNAL',
      advice: 'replace',
    })
  })

  it('is nothing but the five fields', () => {
    const cause = new Pkcs11Error(5, 'C_Sign')
    expect(faultReply(fault('INTERNAL', 'keep', 'text', cause))).to.deep.equal({
      code: 'INTERNAL',
      advice: 'keep',
      message: 'text',
      ckr: 5,
      call: 'C_Sign',
    })
    expect(faultReply(fault('INPUT', 'keep', 'text'))).to.deep.equal({
      code: 'INPUT',
      advice: 'keep',
      message: 'text',
    })
  })
})
