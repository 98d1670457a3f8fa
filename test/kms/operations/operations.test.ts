import { expect } from 'chai'
import { OPERATION_NAMES } from '../../../src/kms/operation-names.ts'
import { OPERATIONS } from '../../../src/kms/operations/index.ts'
import { expectKmsError, Rig } from '../rig.ts'

describe('operations', () => {
  let rig: Rig
  before(async () => {
    rig = await new Rig().start()
  })
  after(() => rig.remove())

  it('has a row for each of the 56 names, thirty of them filled', () => {
    expect([...OPERATIONS.keys()])
      .to.deep.equal([...OPERATION_NAMES])
      .and.to.have.lengthOf(56)
    expect([...OPERATIONS.values()].filter(Boolean)).to.have.lengthOf(30)
  })

  it('answers the other 26 with UnsupportedOperationException', async () => {
    const others = OPERATION_NAMES.filter((name) => !OPERATIONS.get(name))
    expect(others).to.have.lengthOf(26)
    for (const name of others) await expectKmsError(rig.ask(name), 'UnsupportedOperationException')
  })
})
