import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import type { Material } from '../../src/crypto/key-custody.ts'
import type { TokenAnchors } from '../../src/token/lane-protocol.ts'
import { LaneClient, planFor, startAnchored } from '../support/lane-client.ts'
import { makeSoftHsmToken, type SoftHsmToken } from '../support/softhsm.ts'

/** Ten times as many take ten times as long: `IV_ENCRYPTIONS=10000000`. */
const ENCRYPTIONS = Number(process.env['IV_ENCRYPTIONS'] ?? 1_000_000)
const LANES = 2
const AT_ONCE = 64
const PLAINTEXT = randomBytes(32)
const AAD = Buffer.from('aad')

describe(`${ENCRYPTIONS.toLocaleString('en')} encryptions by ${LANES} lanes under one key`, function () {
  this.timeout(60_000 + ENCRYPTIONS)
  let token: SoftHsmToken
  let lanes: LaneClient[]
  let material: Material

  before(async () => {
    token = await makeSoftHsmToken()
    const { cold, anchors } = await startAnchored(token)
    material = await cold.make(planFor(token))
    await cold.stop()
    lanes = await Promise.all(Array.from({ length: LANES }, () => startHot(anchors)))
  })
  after(async () => {
    for (const lane of lanes ?? []) await lane.stop()
    token?.remove()
  })

  const startHot = (anchors: TokenAnchors) => LaneClient.start(token, { anchors })

  it('XKS E-08: have as many IVs, and each bit of them is as often set as not', async () => {
    const seen = new Set<string>()
    const ones = new Uint32Array(96)
    let left = ENCRYPTIONS
    const work = async (lane: LaneClient) => {
      while (left > 0) {
        left -= 1
        const { iv } = await lane.encrypt(material, PLAINTEXT, AAD)
        expect(iv).to.have.length(12)
        seen.add(iv.toString('latin1'))
        for (const [bit, count] of ones.entries())
          ones[bit] = count + ((iv.readUInt8(bit >> 3) >> (bit & 7)) & 1)
      }
    }
    await Promise.all(lanes.flatMap((lane) => Array.from({ length: AT_ONCE }, () => work(lane))))
    expect(seen.size).to.equal(ENCRYPTIONS)
    const sixSigma = 3 * Math.sqrt(ENCRYPTIONS)
    for (const count of ones) expect(count).to.be.closeTo(ENCRYPTIONS / 2, sixSigma)
  })
})
