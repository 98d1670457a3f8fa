import { expect } from 'chai'
import { CustodyError } from '../../src/crypto/custody-error.ts'

describe('CustodyError', () => {
  it('carries its code, and for the log the return code, the call and the cause', () => {
    const cause = new Error('below')
    const error = new CustodyError('DEVICE_GONE', 'gone', { ckr: 0x30, call: 'C_Encrypt', cause })
    expect(error).to.include({ name: 'CustodyError', code: 'DEVICE_GONE', message: 'gone', cause })
    expect(error).to.include({ ckr: 0x30, call: 'C_Encrypt' })
    expect(error).to.be.an.instanceOf(Error)
  })
})
