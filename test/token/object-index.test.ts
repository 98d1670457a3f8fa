import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { CustodyError } from '../../src/crypto/custody-error.ts'
import { CKA } from '../../src/pkcs11/attribute.ts'
import { aesKeyGen } from '../../src/pkcs11/mechanism.ts'
import type { Session } from '../../src/pkcs11/session.ts'
import { secretKeyTemplate } from '../../src/pkcs11/template.ts'
import type { LaneError } from '../../src/token/lane-error.ts'
import { ObjectIndex } from '../../src/token/object-index.ts'
import { type InProcessToken, inProcessToken } from '../support/softhsm.ts'

describe('the object index', () => {
  let token: InProcessToken
  let session: Session
  let index: ObjectIndex
  let id: string

  before(() => {
    token = inProcessToken()
  })
  beforeEach(() => {
    session = token.openSession()
    id = randomBytes(16).toString('hex')
    index = new ObjectIndex()
  })
  afterEach(() => session.close())

  const makeKey = (keyId: string) =>
    session.generateKey(
      aesKeyGen(),
      secretKeyTemplate(
        { id: keyId, label: 'key', keyType: 'AES', valueBytes: 32, uses: ['ENCRYPT'] },
        token.profile,
      ),
    )
  const noCanary = () => {
    throw new Error('the canary was asked')
  }
  const refusal = (keyId: string) => {
    try {
      index.only(keyId)
    } catch (error) {
      return error as LaneError
    }
    return undefined
  }

  it('finds a key by its CKA_ID', () => {
    const handle = makeKey(id)
    index.rebuild(session)
    expect(index.only(id).handle).to.deep.equal(handle)
  })

  it('asks to learn a CKA_ID that it does not know', () => {
    index.rebuild(session)
    expect(refusal(id)).to.be.instanceOf(CustodyError)
    expect(refusal(id)).to.include({ code: 'KEY_UNAVAILABLE', advice: 'learn' })
  })

  it('sees two keys with one CKA_ID (ARCH-D5)', () => {
    makeKey(id)
    makeKey(id)
    index.rebuild(session)
    expect(refusal(id)).to.include({ code: 'KEY_AMBIGUOUS', advice: 'keep' })
  })

  it('sees the second key with one CKA_ID when it comes later, and the one that is left', () => {
    makeKey(id)
    index.rebuild(session)
    const second = makeKey(id)
    index.learn(session, noCanary)
    expect(refusal(id)?.code).to.equal('KEY_AMBIGUOUS')
    session.destroyObject(second)
    index.learn(session, () => {})
    expect(refusal(id)).to.equal(undefined)
  })

  it('learns new keys without doubting what was proven, and without asking the canary', () => {
    makeKey(id)
    index.rebuild(session)
    index.only(id).provenFor = 'material'
    const next = randomBytes(16).toString('hex')
    makeKey(next)
    index.learn(session, noCanary)
    expect(index.only(next).provenFor).to.equal(undefined)
    expect(index.only(id).provenFor).to.equal('material')
  })

  it('believes that a key vanished only if the canary works, and then doubts all others (FM-R6)', () => {
    const gone = makeKey(id)
    const stays = randomBytes(16).toString('hex')
    makeKey(stays)
    index.rebuild(session)
    index.only(stays).provenFor = 'material'
    session.destroyObject(gone)

    expect(() => index.learn(session, noCanary)).to.throw('the canary was asked')
    expect(refusal(id)).to.equal(undefined)
    expect(index.only(stays).provenFor).to.equal('material')

    index.learn(session, () => {})
    expect(refusal(id)?.code).to.equal('KEY_UNAVAILABLE')
    expect(index.only(stays).provenFor).to.equal(undefined)
  })

  it('tells of every entry that goes, so that its session copy can go too', () => {
    const told: string[] = []
    index = new ObjectIndex(({ handle }) => told.push(handle.toString('hex')))
    const vanished = makeKey(id)
    const dropped = randomBytes(16).toString('hex')
    const droppedHandle = makeKey(dropped)
    index.rebuild(session)
    session.destroyObject(vanished)
    index.learn(session, () => {})
    index.drop(dropped)
    expect(told).to.deep.equal([vanished.toString('hex'), droppedHandle.toString('hex')])
  })

  it('does not doubt what is used under the handle of a copy', () => {
    const handle = makeKey(id)
    index.rebuild(session)
    Object.assign(index.only(id), { provenFor: 'material', copy: handle })
    index.doubtAll()
    expect(index.only(id).provenFor).to.equal('material')
  })

  it('overlooks session objects', () => {
    const copy = session.copyObject(makeKey(id), [{ type: CKA.TOKEN, value: false }])
    index.rebuild(session)
    expect(refusal(id)).to.equal(undefined)
    expect(index.only(id).handle).to.not.deep.equal(copy)
  })

  it('learns a dropped key again', () => {
    makeKey(id)
    index.rebuild(session)
    const { size } = index
    index.drop(id)
    expect(refusal(id)?.code).to.equal('KEY_UNAVAILABLE')
    index.learn(session, noCanary)
    expect(refusal(id)).to.equal(undefined)
    expect(index.size).to.equal(size)
  })

  it('counts a key once, however often it is added', () => {
    const handle = makeKey(id)
    index.add(id, handle)
    index.add(id, Buffer.from(handle))
    expect(index.size).to.equal(1)
    expect(refusal(id)).to.equal(undefined)
  })
})
