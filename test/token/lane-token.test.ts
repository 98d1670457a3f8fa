import { expect } from 'chai'
import { findLoginRefusal } from '../../src/token/lane-token.ts'

// Sessions, the one login and recovery, on a real token: lane-use.test.ts.
describe('the login of a lane', () => {
  it('is not tried where the next wrong PIN would lock the token, or it is locked (FM-R4)', () => {
    const free = { userPinLocked: false, userPinFinalTry: false }
    expect(findLoginRefusal(free)).to.equal(undefined)
    expect(findLoginRefusal({ ...free, userPinFinalTry: true })).to.contain('would lock')
    expect(findLoginRefusal({ userPinLocked: true, userPinFinalTry: true })).to.contain('is locked')
  })
})
