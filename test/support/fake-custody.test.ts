import { hash } from 'node:crypto'
import { expect } from 'chai'
import { CustodyError } from '../../src/crypto/custody-error.ts'
import { FakeCustody } from './fake-custody.ts'

const ORIGIN = {
  keyId: 'id',
  accountId: '111122223333',
  region: 'eu-central-1',
  keySpec: 'SYMMETRIC_DEFAULT',
  keyUsage: 'ENCRYPT_DECRYPT',
  origin: 'AWS_KMS',
  lineage: 1,
  createdAt: 0,
}
const AAD = Buffer.from('aad')

describe('FakeCustody', () => {
  it('decrypts what it encrypted, and only under the same associated data', async () => {
    const custody = new FakeCustody()
    const material = await custody.make(custody.plan(), ORIGIN)
    const sealed = await custody.encrypt(material, Buffer.from('text'), AAD)
    expect((await custody.decrypt(material, sealed, AAD)).toString()).to.equal('text')
    expect(await codeOf(custody.decrypt(material, sealed, Buffer.from('other')))).to.equal(
      'CIPHERTEXT_REJECTED',
    )
  })

  it('takes a key of known value', async () => {
    const custody = new FakeCustody()
    const material = custody.put(Buffer.alloc(32, 1), 'ab'.repeat(32))
    const twin = custody.put(Buffer.alloc(32, 1))
    expect(material.materialId).to.equal('ab'.repeat(32))
    const sealed = await custody.encrypt(material, Buffer.from('text'), AAD)
    expect((await custody.decrypt(twin, sealed, AAD)).toString()).to.equal('text')
  })

  it('digests what it verified', async () => {
    const custody = new FakeCustody()
    const material = await custody.make(custody.plan(), ORIGIN)
    const prefix = Buffer.from('prefix')
    const sealed = await custody.encryptVerified(material, Buffer.from('text'), AAD, prefix)
    expect((await custody.decrypt(material, sealed, AAD)).toString()).to.equal('text')
    expect(sealed.digest).to.deep.equal(
      hash('sha256', Buffer.concat([prefix, sealed.iv, sealed.ciphertext]), 'buffer'),
    )
  })

  it('returns the random bytes that it encrypted', async () => {
    const custody = new FakeCustody()
    const material = await custody.make(custody.plan(), ORIGIN)
    const { plaintext, ...sealed } = await custody.encryptRandom(material, 24, AAD)
    expect(plaintext).to.have.lengthOf(24)
    expect(await custody.decrypt(material, sealed, AAD)).to.deep.equal(plaintext)
  })

  it('does not know material that was never made or is destroyed', async () => {
    const custody = new FakeCustody()
    const material = await custody.make(custody.plan(), ORIGIN)
    await custody.destroy(material)
    await custody.destroy(material)
    expect(await codeOf(custody.encrypt(material, Buffer.from('x'), AAD))).to.equal(
      'KEY_UNAVAILABLE',
    )
  })

  it('interrupts one call, then goes on', async () => {
    const custody = new FakeCustody()
    custody.beforeNext('make', () => {
      throw new CustodyError('CAPACITY', 'full')
    })
    expect(await codeOf(custody.make(custody.plan(), ORIGIN))).to.equal('CAPACITY')
    expect(custody.size).to.equal(0)
    await custody.make(custody.plan(), ORIGIN)
    expect(custody.size).to.equal(1)
  })

  it('can make a key whose answer is lost', async () => {
    const custody = new FakeCustody()
    const plan = custody.plan()
    custody.loseNextMade(new CustodyError('DEADLINE', 'late'))
    expect(await codeOf(custody.make(plan, ORIGIN))).to.equal('DEADLINE')
    expect(custody.has(plan.materialId)).to.equal(true)
    expect(custody.originOf(plan.materialId)).to.deep.equal(ORIGIN)
  })
})

async function codeOf(outcome: Promise<unknown>): Promise<string> {
  return outcome.then(
    () => expect.fail('it succeeded'),
    (error: CustodyError) => error.code,
  )
}
