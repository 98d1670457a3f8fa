import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { aesKeyGen } from '../../src/pkcs11/mechanism.ts'
import type { Session } from '../../src/pkcs11/session.ts'
import { secretKeyTemplate } from '../../src/pkcs11/template.ts'
import { Aead } from '../../src/token/aead.ts'
import { makeBirthProof } from '../../src/token/birth-proof.ts'
import { Evidence } from '../../src/token/evidence.ts'
import type { MaterialUse } from '../../src/token/lane-protocol.ts'
import { runSteps, type Steps } from '../../src/token/lane-steps.ts'
import { ObjectIndex } from '../../src/token/object-index.ts'
import { type InProcessToken, inProcessToken } from '../support/softhsm.ts'

describe('the evidence', () => {
  let token: InProcessToken
  let session: Session
  let aead: Aead
  let index: ObjectIndex
  let canary: MaterialUse
  let material: MaterialUse
  let now: number
  let evidence: Evidence

  before(() => {
    token = inProcessToken()
    aead = new Aead(token.profile)
  })
  beforeEach(() => {
    session = token.openSession()
    index = new ObjectIndex()
    now = 0
    canary = makeMaterial()
    material = makeMaterial()
    evidence = new Evidence({ aead, index, canary: () => canary, now: () => now })
  })
  afterEach(() => session.close())

  const makeMaterial = (): MaterialUse => {
    const id = randomBytes(16).toString('hex')
    const key = session.generateKey(
      aesKeyGen(),
      secretKeyTemplate(
        { id, label: 'k', keyType: 'AES', valueBytes: 32, uses: ['ENCRYPT', 'DECRYPT'] },
        token.profile,
      ),
    )
    index.add(id, key)
    const facts = {
      materialId: randomBytes(32).toString('hex'),
      scheme: 'AES_GCM',
      objectIds: [id],
    } as const
    return { ...facts, proof: runSteps(makeBirthProof(aead, session, [key], facts)) }
  }
  const lease = () => ({
    get session() {
      return session
    },
    renew: () => {
      session.close()
      session = token.openSession()
    },
  })
  /** How many token calls the work took. */
  const callsOf = (work: Steps<unknown>) => {
    let calls = 0
    let next = work.next()
    while (!next.done) {
      const { call, mechanism, key, input, maxOutputBytes } = next.value
      calls += 1
      next = work.next(next.value.session[call](mechanism, key, input, maxOutputBytes))
    }
    return calls
  }
  const both = () => evidence.assertBothWork(lease(), material)
  const refusal = (work: Steps<unknown>) => {
    try {
      runSteps(work)
    } catch (error) {
      return error
    }
    return undefined
  }

  it('asks canary and proof once, and then believes them for a tenth of a second', () => {
    expect(callsOf(both())).to.equal(2)
    expect(callsOf(both())).to.equal(0)
    now = 99
    expect(callsOf(both())).to.equal(0)
    now = 100
    expect(callsOf(both())).to.equal(2)
  })

  it('says whether it looked', () => {
    expect(runSteps(both())).to.equal(true)
    expect(runSteps(both())).to.equal(false)
    expect(runSteps(evidence.assertBothWork(lease(), makeMaterial()))).to.equal(true)
    expect(runSteps(evidence.assertBothWork(lease(), undefined))).to.equal(false)
    now = 100
    expect(runSteps(evidence.assertBothWork(lease(), undefined))).to.equal(true)
  })

  it('believes each key by its own proof only', () => {
    runSteps(both())
    const other = makeMaterial()
    expect(callsOf(evidence.assertBothWork(lease(), other))).to.equal(1)
  })

  it('forgets on request', () => {
    runSteps(both())
    evidence.forget()
    expect(callsOf(both())).to.equal(2)
  })

  it('a canary that fails means that the token is gone', () => {
    canary = { ...canary, proof: material.proof }
    expect(refusal(both())).to.include({ code: 'DEVICE_GONE', advice: 'replace' })
    // A failure is not remembered as a success.
    expect(refusal(both())).to.include({ code: 'DEVICE_GONE' })
  })

  it('a proof that fails beside a working canary means that the key is not what it was', () => {
    const broken = { ...material, proof: canary.proof }
    expect(refusal(evidence.assertBothWork(lease(), broken))).to.include({
      code: 'KEY_UNAVAILABLE',
      advice: 'learn',
    })
    expect(() => index.only(material.objectIds[0] ?? '')).to.throw('is known')
  })

  it('a key is blamed only while the canary works now, not a moment ago (ARCH-D10)', () => {
    runSteps(both())
    evidence.forget()
    runSteps(evidence.assertCanary(lease()))
    canary = { ...canary, proof: material.proof }
    const broken = { ...material, proof: canary.proof.subarray(1) }
    expect(refusal(evidence.assertBothWork(lease(), broken))).to.include({ code: 'DEVICE_GONE' })
  })

  it('a stale handle is no verdict on a key: the lane must recover', () => {
    const { handle } = index.only(material.objectIds[0] ?? '')
    session.destroyObject(handle)
    expect(refusal(both())).to.include({ code: 'KEY_UNAVAILABLE', advice: 'recover' })
  })

  it('does not use a session that saw an error', () => {
    const broken = { ...material, proof: Buffer.from(material.proof) }
    broken.proof[20] = (broken.proof[20] ?? 0) ^ 1
    refusal(evidence.assertProof(lease(), broken))
    expect(session.tainted).to.equal(false) // renewed for the canary
  })

  it('a token without a canary has nothing to prove', () => {
    evidence = new Evidence({ aead, index, canary: () => undefined, now: () => now })
    expect(callsOf(evidence.assertBothWork(lease(), undefined))).to.equal(0)
  })
})
