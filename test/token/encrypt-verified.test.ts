import { createHash, randomBytes } from 'node:crypto'
import { expect } from 'chai'
import type { Material } from '../../src/crypto/key-custody.ts'
import { type FaultModule, faultModule } from '../support/fault-module.ts'
import { LaneClient, planFor, refusalOf, startAnchored } from '../support/lane-client.ts'
import { PoolUnderTest } from '../support/pool-under-test.ts'
import { makeSoftHsmToken, type SoftHsmToken } from '../support/softhsm.ts'

const AAD = Buffer.from('the associated data')
const PREFIX = Buffer.from('what the digest begins with')
const TEXT = Buffer.from('text')

for (const { title, withoutGcm } of [
  { title: 'AES_GCM', withoutGcm: false },
  { title: 'AES_CBC_HMAC', withoutGcm: true },
])
  describe(`an encryption that the token takes back, ${title}`, () => {
    let token: SoftHsmToken
    let faults: FaultModule
    let lane: LaneClient
    let material: Material

    before(async () => {
      token = await makeSoftHsmToken({ withoutGcm })
      const { cold, anchors } = await startAnchored(token)
      material = await cold.make(planFor(token))
      await cold.stop()
      faults = faultModule(token.modulePath, token.dir)
      lane = await LaneClient.start(token, { anchors, faults })
      await seal()
    })
    beforeEach(() => faults.forgetCalls())
    afterEach(() => faults.clear())
    after(async () => {
      await lane.stop()
      token.remove()
    })

    const seal = (text = TEXT) => lane.encryptVerified(material, text, AAD, PREFIX)

    it('XKS E-14: comes with SHA-256 over prefix, IV and ciphertext', async () => {
      for (const bytes of [1, 16, 4096]) {
        const text = randomBytes(bytes)
        const { iv, ciphertext, digest } = await seal(text)
        const expected = createHash('sha256').update(PREFIX).update(iv).update(ciphertext).digest()
        expect(digest).to.deep.equal(expected)
        expect(await lane.decrypt(material, { iv, ciphertext }, AAD)).to.deep.equal(text)
      }
    })

    it('XKS E-15: is answered after the token has decrypted it, in one visit', async () => {
      await seal()
      const calls = faults.calls().map((call) => call.function)
      expect(calls.indexOf('C_Decrypt')).to.be.greaterThan(calls.indexOf('C_Encrypt'))
      expect(faults.countCalls('C_Encrypt')).to.equal(1)
      expect(faults.countCalls('C_Decrypt')).to.equal(1)
    })

    it('XKS E-15: is not answered when the token gives a ciphertext with a changed bit', async () => {
      faults.rules(['C_Encrypt flip=3 count=1'])
      const refusal = await refusalOf(seal())
      expect(refusal).to.include({ code: 'TOKEN_LIED', advice: 'replace' })
    })

    it('XKS E-16: is not answered when the token gives other bytes back with CKR_OK', async () => {
      faults.rules(['C_Decrypt flip=3 count=1'])
      const refusal = await refusalOf(seal())
      expect(refusal).to.include({ code: 'TOKEN_LIED', advice: 'replace' })
    })

    it('blames no lane for the trouble of the token: canary and proof are asked first (ARCH-D10)', async () => {
      faults.rules(['C_Decrypt rv=0x5'])
      expect(await refusalOf(seal())).to.include({ code: 'DEVICE_GONE' })
    })

    it('says that the key may not decrypt', async () => {
      faults.rules(['C_DecryptInit rv=0x68 count=1'])
      expect(await refusalOf(seal())).to.include({ code: 'KEY_USAGE', advice: 'keep' })
    })

    it('is made again when a session is lost on the way back (FM-F01)', async () => {
      faults.rules(['C_Decrypt rv=0xb3 count=1'])
      const { iv, ciphertext } = await seal()
      expect(await lane.decrypt(material, { iv, ciphertext }, AAD)).to.deep.equal(TEXT)
    })
  })

describe('a pool with one lane whose token lies', function () {
  this.timeout(60_000)
  let test: PoolUnderTest
  let material: Material

  before(async () => {
    test = await PoolUnderTest.start()
    material = await test.make()
  })
  beforeEach(() => test.whole())
  afterEach(() => test.faults.clear())
  after(() => test.stop())

  for (const [title, rule] of [
    ['a flipped bit in a ciphertext', 'C_Encrypt flip=7 lane=hot count=1'],
    ['a flipped bit in the plaintext that comes back', 'C_Decrypt flip=7 lane=hot count=1'],
    ['a tag that its own token refuses', 'C_Decrypt rv=0x40 lane=hot count=1'],
  ] as const)
    it(`XKS E-15, XKS E-16: ${title} costs no request, and the lane is replaced`, async () => {
      const { replaced } = test.pool.status()
      const ask = () => test.custody.encryptVerified(material, TEXT, AAD, PREFIX)
      await Promise.all(Array.from({ length: 8 }, ask)) // every lane has proven the key
      test.faults.rules([rule])
      const answers = await Promise.all(Array.from({ length: 20 }, ask))
      for (const { iv, ciphertext, digest } of answers) {
        const expected = createHash('sha256').update(PREFIX).update(iv).update(ciphertext).digest()
        expect(digest).to.deep.equal(expected)
        expect(await test.custody.decrypt(material, { iv, ciphertext }, AAD)).to.deep.equal(TEXT)
      }
      expect(test.pool.status().replaced).to.equal(replaced + 1)
    })

  it('is not answered when every lane lies', async () => {
    test.faults.rules(['C_Encrypt flip=7 lane=hot'])
    const failure = await test.custody
      .encryptVerified(material, TEXT, AAD, PREFIX)
      .catch((error) => error)
    expect(failure).to.have.property('code').that.is.oneOf(['TOKEN_LIED', 'DEVICE_GONE'])
  })
})
