import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import type { Material, Sealed } from '../../src/crypto/key-custody.ts'
import { materialToJson, type TokenAnchors } from '../../src/token/lane-protocol.ts'
import { LaneClient, planFor, refusalOf, startAnchored } from '../support/lane-client.ts'
import { makeSoftHsmToken, type SoftHsmToken } from '../support/softhsm.ts'

const AAD = Buffer.from('the associated data')

for (const { title, withoutGcm } of [
  { title: 'AES_GCM', withoutGcm: false },
  { title: 'AES_CBC_HMAC', withoutGcm: true },
]) {
  describe(`a lane on SoftHSM2 with ${title}`, () => {
    let token: SoftHsmToken
    let anchors: TokenAnchors
    let cold: LaneClient
    let hot: LaneClient
    let material: Material
    let other: Material

    before(async () => {
      token = await makeSoftHsmToken({ withoutGcm })
      ;({ cold, anchors } = await startAnchored(token))
      material = await cold.make(planFor(token))
      other = await cold.make(planFor(token))
      hot = await LaneClient.start(token, { anchors })
    })
    after(async () => {
      await Promise.all([hot.stop(), cold.stop()])
      token.remove()
    })

    it('says at start which token it serves and how many keys it has indexed', () => {
      expect(hot.started.token).to.include({ serial: token.serial, label: token.label })
      expect(hot.started.pid).to.equal(hot.child.pid)
      const perMaterial = material.objects.length
      expect(hot.started.objects).to.equal(3 * perMaterial + 1) // canary, two materials; the record key
      expect(hot.started.restoredFiles).to.deep.equal([])
    })

    it('gives back what it encrypted, from one byte to more than the device takes at once', async () => {
      for (const bytes of [1, 15, 16, 17, 4096, 5000]) {
        const plaintext = randomBytes(bytes)
        const sealed = await hot.encrypt(material, plaintext, AAD)
        expect(await hot.decrypt(material, sealed, AAD), `${bytes} bytes`).to.deep.equal(plaintext)
      }
    })

    it('decrypts an empty plaintext and empty associated data', async () => {
      const sealed = await hot.encrypt(material, Buffer.alloc(0), Buffer.alloc(0))
      expect(await hot.decrypt(material, sealed, Buffer.alloc(0))).to.have.length(0)
    })

    it('draws a data key in the token and encrypts it in the same call', async () => {
      const { plaintext, ...sealed } = await hot.encryptRandom(material, 32, AAD)
      expect(plaintext).to.have.length(32)
      expect(await hot.decrypt(material, sealed, AAD)).to.deep.equal(plaintext)
    })

    it('draws exactly as many random bytes as asked', async () => {
      const drawn = await hot.random(1000)
      expect(drawn).to.have.length(1000)
      expect(new Set(drawn).size).to.be.above(200)
    })

    it('refuses every single flipped bit of IV and ciphertext', async () => {
      const sealed = await hot.encrypt(material, randomBytes(20), AAD)
      for (const part of ['iv', 'ciphertext'] as const)
        for (let bit = 0; bit < sealed[part].length * 8; bit += 1)
          await expectRejected(hot, material, flipped(sealed, part, bit), AAD, `${part} ${bit}`)
    })

    it('refuses a ciphertext of every other length (AT-C08)', async () => {
      const sealed = await hot.encrypt(material, randomBytes(20), AAD)
      for (let bytes = 0; bytes < sealed.ciphertext.length; bytes += 1) {
        const cut = { iv: sealed.iv, ciphertext: sealed.ciphertext.subarray(0, bytes) }
        await expectRejected(hot, material, cut, AAD, `${bytes} bytes`)
      }
      const longer = { iv: sealed.iv, ciphertext: Buffer.concat([sealed.ciphertext, AAD]) }
      await expectRejected(hot, material, longer, AAD)
      for (const ivBytes of [0, 1, 11, 13, 15, 17, 255])
        await expectRejected(hot, material, { ...sealed, iv: randomBytes(ivBytes) }, AAD)
    })

    it('refuses other associated data, and the key of another material', async () => {
      const sealed = await hot.encrypt(material, Buffer.from('text'), AAD)
      await expectRejected(hot, material, sealed, Buffer.from('the associated datb'))
      await expectRejected(hot, material, sealed, Buffer.alloc(0))
      await expectRejected(hot, other, sealed, AAD)
    })

    it('calls a ciphertext bad only after canary and birth proof have worked (ARCH-D10)', async () => {
      const sealed = await hot.encrypt(material, Buffer.from('text'), AAD)
      const refusal = await refusalOf(hot.decrypt(material, flipped(sealed, 'ciphertext', 0), AAD))
      expect(refusal.advice).to.equal('keep')
      expect(refusal.message).to.contain('canary and birth proof work')
    })

    it('answers a key that it does not know with the advice to learn, and knows it after learning', async () => {
      const fresh = await cold.make(planFor(token))
      const refusal = await refusalOf(hot.encrypt(fresh, AAD, AAD))
      expect(refusal).to.include({ code: 'KEY_UNAVAILABLE', advice: 'learn' })

      const { objects } = await hot.json<{ objects: number }>('learn')
      expect(objects).to.equal(hot.started.objects + fresh.objects.length)
      await hot.json('prove', { material: materialToJson(fresh) })
      const sealed = await hot.encrypt(fresh, AAD, AAD)
      expect(await hot.decrypt(fresh, sealed, AAD)).to.deep.equal(AAD)
    })

    it('does not use a key whose birth proof belongs to another material (FM-F08)', async () => {
      const wrong: Material = { ...other, proof: material.proof }
      const lane = await LaneClient.start(token, { anchors })
      const refusal = await refusalOf(lane.encrypt(wrong, AAD, AAD))
      expect(refusal).to.include({ code: 'KEY_UNAVAILABLE', advice: 'learn' })
      expect(
        (await refusalOf(lane.json('prove', { material: materialToJson(wrong) }))).code,
      ).to.equal('KEY_UNAVAILABLE')
      await lane.stop()
    })

    it('a birth proof of broken bytes opens nothing, and is no reason to give up the lane (ARCH-D9)', async () => {
      for (const proof of [Buffer.alloc(0), Buffer.alloc(50), other.proof.subarray(1)]) {
        const json = materialToJson({ ...other, proof })
        expect(await refusalOf(hot.json('prove', { material: json }))).to.include({
          code: 'KEY_UNAVAILABLE',
          advice: 'learn',
        })
        await hot.json('learn')
      }
      await hot.json('prove', { material: materialToJson(other) })
    })

    it('does not begin a call whose deadline has passed', async () => {
      const refusal = await refusalOf(hot.call('health', [], Date.now() - 1))
      expect(refusal).to.include({ code: 'DEADLINE', advice: 'keep' })
    })

    it('recovers on request: fresh sessions, the index anew, the same keys', async () => {
      await hot.call('recover', [])
      const sealed = await hot.encrypt(material, AAD, AAD)
      expect(await hot.decrypt(material, sealed, AAD)).to.deep.equal(AAD)
      await hot.call('health', [])
    })
  })
}

describe('the process of a lane', () => {
  let token: SoftHsmToken
  let anchors: TokenAnchors

  before(async () => {
    token = await makeSoftHsmToken()
    const init = await startAnchored(token)
    anchors = init.anchors
    await init.cold.stop()
  })
  after(() => token.remove())

  it('ends with exit code 0 when the front goes away', async () => {
    const lane = await LaneClient.start(token, { anchors })
    expect(await lane.stop()).to.deep.equal({ code: 0, signal: null })
  })

  it('answers what it has received before it ends', async () => {
    const lane = await LaneClient.start(token, { anchors })
    const answers = [lane.random(32), lane.random(32), lane.random(32)]
    lane.socket.end()
    for (const answer of await Promise.all(answers)) expect(answer).to.have.length(32)
    expect((await lane.exited).code).to.equal(0)
  })

  it('ends when the socket breaks off in the middle of a frame', async () => {
    const lane = await LaneClient.start(token, { anchors })
    lane.socket.write(Buffer.from([0, 0, 0, 50, 1]))
    lane.socket.destroy()
    expect((await lane.exited).code).to.equal(0)
  })

  it('stays when a terminal or a supervisor sends its signals, and opens no debugger (AT-K03)', async () => {
    const lane = await LaneClient.start(token, { anchors })
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1'] as const)
      lane.child.kill(signal)
    await pause(100)
    expect(await lane.random(16)).to.have.length(16)
    expect(lane.stderr).to.equal('')
    await lane.stop()
  })

  it('ends with exit code 70 on a call or a length that it does not know', async () => {
    for (const garbage of [
      Buffer.from([0, 0, 0, 13, 0, 0, 0, 1, 99, ...Buffer.alloc(8)]),
      Buffer.alloc(20, 255),
    ]) {
      const lane = await LaneClient.start(token, { anchors })
      lane.socket.write(garbage)
      expect((await lane.exited).code).to.equal(70)
      expect(JSON.parse(lane.stderr)).to.include({ level: 'error' })
    }
  })

  it('refuses calls before it has started', async () => {
    const lane = new LaneClient({ ...token.env })
    const refusal = await refusalOf(lane.random(16))
    expect(refusal).to.include({ code: 'INTERNAL', advice: 'replace' })
    await lane.stop()
  })

  it('reads frames that arrive in pieces', async () => {
    const lane = await LaneClient.start(token, { anchors })
    const write = lane.socket.write.bind(lane.socket)
    lane.socket.write = ((bytes: Buffer) => {
      for (const byte of bytes) write(Buffer.from([byte]))
      return true
    }) as typeof lane.socket.write
    expect(await lane.random(16)).to.have.length(16)
    await lane.stop()
  })

  it('does not start with a canary that the token does not show', async () => {
    const canary = { ...anchors.canary, objects: planFor(token).objects }
    const refusal = await refusalOf(LaneClient.start(token, { anchors: { ...anchors, canary } }))
    expect(refusal).to.include({ code: 'DEVICE_GONE', advice: 'replace' })
  })

  it('does not start on another token than the one it was told (FM-F03)', async () => {
    const elsewhere = { ...token, serial: '0123456789abcdef' }
    const refusal = await refusalOf(LaneClient.start(elsewhere, { anchors }))
    expect(refusal).to.include({ code: 'DEVICE_GONE', advice: 'replace' })
  })

  it('says that a wrong PIN was refused, and by which return code', async () => {
    const refusal = await refusalOf(LaneClient.start(token, { anchors, pin: 'wrong' }))
    expect(refusal).to.deep.include({ code: 'LOGIN_REFUSED', call: 'C_Login', ckr: 0xa0 })
    expect(refusal.message).not.to.contain('wrong')
  })
})

function flipped(sealed: Sealed, part: 'iv' | 'ciphertext', bit: number): Sealed {
  const bytes = Buffer.from(sealed[part])
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return { ...sealed, [part]: bytes }
}

async function expectRejected(
  lane: LaneClient,
  material: Material,
  sealed: Sealed,
  aad: Buffer,
  what = '',
): Promise<void> {
  const { code } = await refusalOf(lane.decrypt(material, sealed, aad))
  expect(code, what).to.equal('CIPHERTEXT_REJECTED')
}
