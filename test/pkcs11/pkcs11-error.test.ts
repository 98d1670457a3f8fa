import { expect } from 'chai'
import pkcs11js from 'pkcs11js'
import { Pkcs11Error, pkcs11ErrorOf } from '../../src/pkcs11/pkcs11-error.ts'

describe('Pkcs11Error', () => {
  it('takes the code of the error class of the binding', () => {
    const thrown = new pkcs11js.Pkcs11Error('CKR_DEVICE_ERROR', 0x30, 'C_Encrypt')
    const error = pkcs11ErrorOf(thrown, 'C_Encrypt')
    expect(error).to.be.instanceOf(Pkcs11Error)
    expect(error).to.include({
      ckr: 0x30,
      ckrName: 'CKR_DEVICE_ERROR',
      ckrClass: 'DEVICE',
      call: 'C_Encrypt',
      message: 'C_Encrypt returned CKR_DEVICE_ERROR',
      cause: thrown,
    })
  })

  it('reads the code from the text of a plain Error', () => {
    expect(pkcs11ErrorOf(new Error('CKR_TEMPLATE_INCONSISTENT:209'), 'C_CreateObject')).to.include({
      ckr: 0xd1,
      ckrName: 'CKR_TEMPLATE_INCONSISTENT',
    })
  })

  it('gives back the true name of a code that the binding calls vendor-defined', () => {
    expect(pkcs11ErrorOf(new Error('CKR_VENDOR_DEFINED:320'), 'C_DeriveKey')).to.include({
      ckrName: 'CKR_CURVE_NOT_SUPPORTED',
    })
    expect(pkcs11ErrorOf(new Error('CKR_VENDOR_DEFINED:2147483939'), 'C_Sign')).to.include({
      ckr: 0x80000123,
      ckrName: 'CKR_0x80000123',
      ckrClass: 'BUG',
    })
  })

  it('makes a TypeError of what carries no return code, and says which call it was', () => {
    for (const thrown of [new TypeError('Argument 1 has wrong type'), new Error('no text'), 'x']) {
      const error = pkcs11ErrorOf(thrown, 'C_Login')
      expect(error).to.be.instanceOf(TypeError)
      expect(error.message).to.equal('C_Login was refused by the PKCS#11 binding')
      expect(error.cause).to.equal(thrown)
    }
  })
})
