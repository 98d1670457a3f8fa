import { randomBytes } from 'node:crypto'
import { renameSync } from 'node:fs'
import { expect } from 'chai'
import type { Material, Sealed } from '../../src/crypto/key-custody.ts'
import type { VendorProfile } from '../../src/pkcs11/vendor-profile.ts'
import type { TokenAnchors } from '../../src/token/lane-protocol.ts'
import { ENOUGH_FOR_NEW_IVS, type FaultModule, faultModule } from '../support/fault-module.ts'
import { LaneClient, planFor, refusalOf, startAnchored } from '../support/lane-client.ts'
import { makeSoftHsmToken, type SoftHsmToken } from '../support/softhsm.ts'
import { visitToken } from '../support/token-visitor.ts'

const AAD = Buffer.from('the associated data')
const TEXT = Buffer.from('text')

describe('a hot lane in trouble', () => {
  let token: SoftHsmToken
  let anchors: TokenAnchors
  let faults: FaultModule
  let lane: LaneClient
  let material: Material
  let other: Material
  let sealed: Sealed

  before(async () => {
    token = await makeSoftHsmToken()
    const init = await startAnchored(token)
    anchors = init.anchors
    material = await init.cold.make(planFor(token))
    other = await init.cold.make(planFor(token))
    await init.cold.stop()
    faults = faultModule(token.modulePath, token.dir)
    lane = await start()
  })
  beforeEach(async () => {
    await lane.call('recover', []) // every handle unproven, fresh sessions
    sealed = await lane.encrypt(material, TEXT, AAD)
    faults.forgetCalls()
  })
  afterEach(() => faults.clear())
  after(async () => {
    await lane.stop()
    token.remove()
  })

  const start = (profile: Partial<VendorProfile> = {}) =>
    LaneClient.start(token, { anchors, faults, profile })
  const decrypts = async () => expect(await lane.decrypt(material, sealed, AAD)).to.deep.equal(TEXT)
  const spoilt = () => ({ ...sealed, ciphertext: randomBytes(sealed.ciphertext.length) })

  for (const call of ['C_EncryptInit', 'C_Encrypt', 'C_DecryptInit', 'C_Decrypt'])
    it(`answers as if nothing were when a session is lost in ${call} (FM-F01)`, async () => {
      faults.rules([`${call} rv=0xb3 count=1`])
      const again = await lane.encrypt(material, TEXT, AAD)
      expect(await lane.decrypt(material, again, AAD)).to.deep.equal(TEXT)
      expect(faults.calls().filter(({ injected }) => injected)).to.have.length(1)
    })

  it('answers as if nothing were when a session is lost in C_GenerateRandom (FM-F01)', async () => {
    faults.rules(['C_GenerateRandom rv=0xb3 count=1'])
    for (let i = 0; i < ENOUGH_FOR_NEW_IVS; i += 1) await lane.encrypt(material, TEXT, AAD)
    expect(faults.calls().filter(({ injected }) => injected)).to.have.length(1)
  })

  it('wants to be replaced when a fresh session does not help either (FM-F18)', async () => {
    faults.rules(['C_Decrypt rv=0xb3'])
    const refusal = await refusalOf(lane.decrypt(material, sealed, AAD))
    expect(refusal).to.include({ code: 'INTERNAL', advice: 'replace', ckr: 0xb3 })
  })

  for (const action of ['logout', 'closeall'])
    it(`asks to recover after ${action} by somebody else, and logs in once (FM-F05)`, async () => {
      faults.rules([`C_DecryptInit ${action} count=1`])
      const refusal = await refusalOf(lane.decrypt(material, sealed, AAD))
      expect(refusal).to.include({ code: 'KEY_UNAVAILABLE', advice: 'recover' })

      await lane.call('recover', [])
      expect(faults.countCalls('C_Login')).to.equal(1)
      await decrypts()
    })

  it('keeps its place after one device error, because the canary works', async () => {
    faults.rules(['C_Decrypt rv=0x30 count=1'])
    const refusal = await refusalOf(lane.decrypt(material, sealed, AAD))
    expect(refusal).to.include({ code: 'DEVICE_GONE', advice: 'keep', ckr: 0x30 })
    await decrypts()
  })

  it('wants to be replaced when the canary fails like the call', async () => {
    faults.rules(['C_Decrypt rv=0x30'])
    const refusal = await refusalOf(lane.decrypt(material, sealed, AAD))
    expect(refusal).to.include({ code: 'DEVICE_GONE', advice: 'replace' })
  })

  it('does not blame the ciphertext when the canary fails with the same code (ARCH-D10)', async () => {
    faults.rules(['C_Decrypt rv=0x5'])
    const refusal = await refusalOf(lane.decrypt(material, sealed, AAD))
    expect(refusal).to.include({ code: 'DEVICE_GONE', advice: 'replace' })
  })

  it('does not blame the ciphertext when only its key fails: the handle is dropped (ARCH-D10)', async () => {
    faults.rules(['C_Decrypt rv=0x5 count=1', 'C_Decrypt rv=0x5 skip=1 count=1'])
    const refusal = await refusalOf(lane.decrypt(material, sealed, AAD))
    expect(refusal).to.include({ code: 'KEY_UNAVAILABLE', advice: 'learn' })
    const next = await refusalOf(lane.decrypt(material, sealed, AAD))
    expect(next).to.include({ code: 'KEY_UNAVAILABLE', advice: 'learn' })
    await lane.json('learn')
    await lane.json('recover')
    await decrypts()
  })

  for (const code of ['0x5', '0x6', '0x40'])
    it(`opens a good ciphertext that was refused once with ${code}: its proof, and once more (ARCH-D10)`, async () => {
      faults.rules([`C_Decrypt rv=${code} count=1`])
      await decrypts()
      expect(faults.countCalls('C_Decrypt')).to.equal(3) // the canary worked at the recovery, a moment ago
    })

  it('blames a ciphertext that is refused again after fresh evidence (ARCH-D10)', async () => {
    const refusal = await refusalOf(lane.decrypt(material, spoilt(), AAD))
    expect(refusal).to.include({ code: 'CIPHERTEXT_REJECTED', advice: 'keep' })
    expect(faults.countCalls('C_Decrypt')).to.equal(3)
  })

  it('calls nothing bad when encryption fails in an ambiguous way and everything else works', async () => {
    faults.rules(['C_Encrypt rv=0x5 count=1'])
    const refusal = await refusalOf(lane.encrypt(material, TEXT, AAD))
    expect(refusal).to.include({ code: 'INTERNAL', advice: 'keep', ckr: 0x5 })
  })

  it('spends at most 1.1 token calls on each bad ciphertext of a flood (FM-R11)', async () => {
    const flood = 200
    for (let i = 0; i < flood; i += 1)
      expect((await refusalOf(lane.decrypt(material, spoilt(), AAD))).code).to.equal(
        'CIPHERTEXT_REJECTED',
      )
    expect(faults.countCalls('C_Decrypt')).to.be.within(flood, flood * 1.1)
  })

  it('asks for fresh evidence after an error that is not about input', async () => {
    await refusalOf(lane.decrypt(material, spoilt(), AAD))
    faults.rules(['C_Decrypt rv=0x31 count=1'])
    expect((await refusalOf(lane.decrypt(material, sealed, AAD))).code).to.equal('CAPACITY')
    faults.forgetCalls()
    await refusalOf(lane.decrypt(material, spoilt(), AAD))
    expect(faults.countCalls('C_Decrypt')).to.equal(4) // the call, the canary, the proof, the call again
  })

  it('keeps no session that saw an error, and stays logged in all the same (FM-F06)', async () => {
    await refusalOf(lane.decrypt(material, spoilt(), AAD))
    expect(faults.countCalls('C_CloseSession')).to.be.above(0)
    await decrypts()
    expect(faults.countCalls('C_Login')).to.equal(0)
  })

  it('asks the token nothing about a ciphertext that no token wrote, or a key that it does not know', async () => {
    await refusalOf(lane.decrypt(material, { ...sealed, iv: Buffer.alloc(0) }, AAD))
    await refusalOf(lane.decrypt(material, { ...sealed, ciphertext: Buffer.alloc(15) }, AAD))
    await refusalOf(lane.decrypt({ ...material, ...planFor(token) }, sealed, AAD))
    expect(faults.calls()).to.deep.equal([])
  })

  it('asks the token nothing for a call whose deadline has passed', async () => {
    await refusalOf(lane.call('health', [], Date.now() - 1))
    expect(faults.calls()).to.deep.equal([])
  })

  it('encrypts with one token operation once a key is proven', async () => {
    await lane.encrypt(material, TEXT, AAD)
    const calls = faults.calls().map((call) => call.function)
    expect(calls.filter((call) => call !== 'C_GenerateRandom')).to.deep.equal([
      'C_EncryptInit',
      'C_Encrypt',
    ])
  })

  it('draws the IVs of 64 encryptions in one call', async () => {
    for (let i = 0; i < 64; i += 1) await lane.encrypt(material, TEXT, AAD)
    expect(faults.countCalls('C_GenerateRandom')).to.equal(1)
  })

  it('asks a handle who it is, and opens the birth proof, at first use only (FM-R5)', async () => {
    await lane.encrypt(other, TEXT, AAD)
    expect(faults.countCalls('C_GetAttributeValue')).to.be.above(0)
    expect(faults.countCalls('C_Decrypt')).to.equal(1)
    faults.forgetCalls()
    await lane.encrypt(other, TEXT, AAD)
    expect(faults.countCalls('C_GetAttributeValue') + faults.countCalls('C_Decrypt')).to.equal(0)
  })

  it('encrypts nothing when the token swaps handles before the first use of a key (FM-F08)', async () => {
    faults.rules(['C_DecryptInit swaphandle']) // the proof meets the key that was used before
    const refusal = await refusalOf(lane.encrypt(other, TEXT, AAD))
    expect(refusal.code).to.be.oneOf(['KEY_UNAVAILABLE', 'DEVICE_GONE'])
    expect(faults.countCalls('C_Encrypt')).to.equal(0)
  })

  it('asks to recover when a handle is stale', async () => {
    faults.rules(['C_EncryptInit rv=0x60 count=1'])
    const refusal = await refusalOf(lane.encrypt(material, TEXT, AAD))
    expect(refusal).to.include({ code: 'KEY_UNAVAILABLE', advice: 'recover' })
  })

  it('says that a key does not permit the use', async () => {
    faults.rules(['C_EncryptInit rv=0x68 count=1'])
    const refusal = await refusalOf(lane.encrypt(material, TEXT, AAD))
    expect(refusal).to.include({ code: 'KEY_USAGE', advice: 'keep' })
  })

  for (const rule of ['zerorandom', 'repeatrandom'])
    it(`stops when the generator of the token is stuck: ${rule} (FM-F43, AT-C15)`, async () => {
      const doomed = await start()
      faults.rules([`C_GenerateRandom ${rule}`])
      const attempts = async () => {
        for (let i = 0; i < ENOUGH_FOR_NEW_IVS; i += 1) await doomed.encrypt(material, TEXT, AAD)
      }
      expect(await refusalOf(attempts())).to.include({ code: 'TOKEN_LIED', advice: 'replace' })
      await doomed.stop()
    })

  it('fails its health check at once when the canary stops working, however fresh the evidence', async () => {
    await lane.call('health', [])
    faults.rules(['C_Decrypt rv=0x30'])
    expect(await refusalOf(lane.call('health', []))).to.include({ code: 'DEVICE_GONE' })
  })

  it('believes an emptied token only while the canary works (FM-F04)', async () => {
    faults.rules(['C_FindObjects dropfound', 'C_Decrypt rv=0x5'])
    const refusal = await refusalOf(lane.json('learn'))
    expect(refusal).to.include({ code: 'DEVICE_GONE', advice: 'replace' })
    faults.clear()
    await decrypts() // nothing was forgotten
  })

  it('never says that a key is unknown when the token directory has vanished (FM-F04)', async () => {
    await lane.call('recover', []) // no key has a session copy, which would outlive the directory
    renameSync(token.tokenDirectory, `${token.tokenDirectory}.away`)
    try {
      const codes = [
        (await refusalOf(lane.decrypt(material, sealed, AAD))).code,
        (await refusalOf(lane.call('health', []))).code,
        (await refusalOf(lane.json('learn'))).code,
      ]
      expect(codes).to.deep.equal(['KEY_UNAVAILABLE', 'DEVICE_GONE', 'DEVICE_GONE'])
    } finally {
      renameSync(`${token.tokenDirectory}.away`, token.tokenDirectory)
    }
    // Back again, SoftHSM2 goes on failing in a process that saw it vanish: only a new one helps.
    expect(await refusalOf(lane.call('recover', []))).to.include({ advice: 'replace' })
    await lane.stop()
    lane = await start()
    await decrypts()
  })

  it('refuses to recover on another token in the slot (FM-F03)', async () => {
    faults.rules(['C_GetTokenInfo serial=ffffffffffffffff'])
    expect(await refusalOf(lane.call('recover', []))).to.include({
      code: 'DEVICE_GONE',
      advice: 'replace',
    })
  })

  it('looks neither for keys nor at attributes beyond CKA_ID at start (FM-F54)', async () => {
    faults.forgetCalls()
    const fresh = await start()
    const ours = faults.calls().filter(({ pid }) => pid === fresh.child.pid)
    expect(ours.filter((call) => call.function === 'C_FindObjectsInit')).to.have.length(1)
    const read = ours.filter((call) => call.function === 'C_GetAttributeValue')
    expect(new Set(read.flatMap(({ attributes }) => attributes))).to.deep.equal(new Set([0x102]))
    expect(ours.filter((call) => call.function === 'C_Login')).to.have.length(1)
    expect(ours.filter((call) => call.function === 'C_Finalize')).to.have.length(0)
    await fresh.stop()
    expect(faults.countCalls('C_Finalize')).to.equal(0)
  })

  it('tries a wrong PIN once (ARCH-D4)', async () => {
    const refusal = await refusalOf(LaneClient.start(token, { anchors, faults, pin: 'wrong' }))
    expect(refusal.code).to.equal('LOGIN_REFUSED')
    expect(faults.countCalls('C_Login')).to.equal(1)
  })
})

describe('a lane that serves several calls at once', () => {
  let token: SoftHsmToken
  let anchors: TokenAnchors
  let faults: FaultModule
  let lane: LaneClient
  let material: Material

  before(async () => {
    token = await makeSoftHsmToken()
    const init = await startAnchored(token)
    anchors = init.anchors
    material = await init.cold.make(planFor(token))
    await init.cold.stop()
    faults = faultModule(token.modulePath, token.dir)
    const profile = { callsPerLane: 4, randomBatchBytes: 4096 }
    lane = await LaneClient.start(token, { anchors, faults, profile })
    await lane.encrypt(material, TEXT, AAD)
  })
  afterEach(() => faults.clear())
  after(async () => {
    await lane.stop()
    token.remove()
  })

  it('has that many under way, each on a session of its own', async () => {
    faults.forgetCalls()
    faults.rules(['C_Encrypt delay=50'])
    const began = performance.now()
    await Promise.all(Array.from({ length: 8 }, () => lane.encrypt(material, TEXT, AAD)))
    const took = performance.now() - began
    expect(took, 'two rounds of four, not eight calls in a row').to.be.within(100, 300)
  })

  it('answers out of order', async () => {
    const order: string[] = []
    faults.rules(['C_Encrypt delay=200 count=1'])
    const slow = lane.encrypt(material, TEXT, AAD).then(() => order.push('slow'))
    const fast = lane.random(16).then(() => order.push('fast'))
    await Promise.all([slow, fast])
    expect(order).to.deep.equal(['fast', 'slow'])
  })

  it('never gives the same bytes twice from a batch of random bytes', async () => {
    const drawn = await Promise.all(Array.from({ length: 500 }, () => lane.random(12)))
    expect(new Set(drawn.map((bytes) => bytes.toString('hex'))).size).to.equal(500)
  })

  it('mixes up nothing among many calls, good and bad', async () => {
    const round = async (i: number) => {
      const text = Buffer.from(`text ${i}`)
      const sealed = await lane.encrypt(material, text, AAD)
      if (i % 3 > 0) return expect(await lane.decrypt(material, sealed, AAD)).to.deep.equal(text)
      const { code } = await refusalOf(lane.decrypt(material, sealed, TEXT))
      return expect(code).to.equal('CIPHERTEXT_REJECTED')
    }
    await Promise.all(Array.from({ length: 120 }, (_, i) => round(i)))
  })

  it('lets calls under way end before it searches, and goes on afterwards (FM-R8)', async () => {
    faults.rules(['C_Encrypt delay=50'])
    const calls = Array.from({ length: 6 }, () => lane.encrypt(material, TEXT, AAD))
    const learned = lane.json('learn')
    await Promise.all([...calls, learned, lane.call('recover', []), lane.random(8)])
  })

  it('cures a lost session in promise form too (FM-F01)', async () => {
    faults.rules(['C_Encrypt rv=0xb3 count=1'])
    await Promise.all(Array.from({ length: 4 }, () => lane.encrypt(material, TEXT, AAD)))
  })

  it('finishes what is under way when the front goes away, and finalizes nothing (FM-R3)', async () => {
    const leaving = await LaneClient.start(token, { anchors, faults, profile: { callsPerLane: 4 } })
    faults.rules(['C_Encrypt delay=100'])
    const call = leaving.encrypt(material, TEXT, AAD)
    leaving.socket.end()
    expect((await call).iv).to.have.length(12)
    expect((await leaving.exited).code).to.equal(0)
    expect(faults.countCalls('C_Finalize')).to.equal(0)
  })
})

for (const { ivModel, rule, ivBytes } of [
  { ivModel: 'hsm-written', rule: 'C_EncryptInit hsmiv', ivBytes: 12 },
  { ivModel: 'hsm-appended', rule: '* appendiv=12', ivBytes: 12 },
  { ivModel: 'hsm-appended', rule: '* appendiv=16', ivBytes: 16 },
] as const)
  describe(`a token whose IV is ${ivModel}, ${ivBytes} bytes`, () => {
    let token: SoftHsmToken
    let faults: FaultModule
    let cold: LaneClient
    let material: Material

    before(async () => {
      token = await makeSoftHsmToken()
      faults = faultModule(token.modulePath, token.dir)
      faults.rules([rule])
      ;({ cold } = await startAnchored(token, { faults, profile: { ivModel, ivBytes } }))
      material = await cold.make(planFor(token))
    })
    after(async () => {
      await cold.stop()
      token.remove()
    })

    it('is used with the IV that the token made', async () => {
      const sealed = await cold.encrypt(material, TEXT, AAD)
      expect(sealed.iv).to.have.length(ivBytes)
      expect(sealed.ciphertext).to.have.length(TEXT.length + 16)
      expect(sealed.iv.equals(Buffer.alloc(ivBytes))).to.equal(false)
      expect(await cold.decrypt(material, sealed, AAD)).to.deep.equal(TEXT)
    })

    if (ivModel === 'hsm-written')
      it('has lied when it leaves the IV zero (AT-C15)', async () => {
        faults.clear()
        const refusal = await refusalOf(cold.encrypt(material, TEXT, AAD))
        expect(refusal).to.include({ code: 'TOKEN_LIED', advice: 'replace' })
        faults.rules([rule])
      })
  })

describe('a lane and other processes on its token', () => {
  it('serves on while another process logs in and makes keys (FM-F34)', async () => {
    const token = await makeSoftHsmToken()
    const { cold, anchors } = await startAnchored(token)
    const material = await cold.make(planFor(token))
    const hot = await LaneClient.start(token, { anchors })
    visitToken(token, 'duplicateKey', randomBytes(16).toString('hex'))
    const sealed = await hot.encrypt(material, TEXT, AAD)
    expect(await hot.decrypt(material, sealed, AAD)).to.deep.equal(TEXT)
    await Promise.all([hot.stop(), cold.stop()])
    token.remove()
  })
})
