import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { CKA } from '../../src/pkcs11/attribute.ts'
import { aesGcm, aesKeyGen } from '../../src/pkcs11/mechanism.ts'
import type { Session } from '../../src/pkcs11/session.ts'
import { secretKeyTemplate } from '../../src/pkcs11/template.ts'
import type { IndexedKey } from '../../src/token/object-index.ts'
import { SessionCopies } from '../../src/token/session-copies.ts'
import { type InProcessToken, inProcessToken } from '../support/softhsm.ts'

const SECRET = { type: CKA.CLASS, value: 4 }

describe('session copies', () => {
  let token: InProcessToken
  let session: Session
  let copies: SessionCopies
  let id: Buffer

  before(() => {
    token = inProcessToken()
  })
  beforeEach(() => {
    session = token.openSession()
    copies = upTo(10)
    id = randomBytes(16)
  })
  afterEach(() => {
    copies.forget()
    session.close()
  })

  const upTo = (most: number) =>
    new SessionCopies({ openSession: () => token.openSession(), profile: token.profile, most })
  const makeKey = (changes: Readonly<Record<number, boolean>> = {}): IndexedKey => {
    const template = secretKeyTemplate(
      { id, label: 'key', keyType: 'AES', valueBytes: 32, uses: ['ENCRYPT', 'DECRYPT'] },
      token.profile,
    )
    const others = template.filter(({ type }) => !(type in changes))
    const changed = Object.entries(changes).map(([type, value]) => ({ type: Number(type), value }))
    const handle = session.generateKey(aesKeyGen(), [...others, ...changed])
    return { handle, copy: undefined, provenFor: undefined }
  }
  const importKey = (): IndexedKey => {
    const template = secretKeyTemplate(
      { id, label: 'key', keyType: 'AES', valueBytes: 32, uses: ['ENCRYPT', 'DECRYPT'] },
      { omitAttributes: ['CKA_VALUE_LEN'] },
    )
    const handle = session.createObject([...template, { type: CKA.VALUE, value: randomBytes(32) }])
    return { handle, copy: undefined, provenFor: undefined }
  }
  const shown = (ofToken: boolean) =>
    session.find([SECRET, { type: CKA.ID, value: id }, { type: CKA.TOKEN, value: ofToken }])
  const gcm = () => aesGcm({ iv: Buffer.alloc(12, 1), aad: Buffer.from('aad'), tagBits: 128 })
  const copyOf = ({ copy }: IndexedKey) => copy ?? expect.fail('there is no copy')

  it('are the same key: what the copy encrypts the token object decrypts', () => {
    const key = makeKey()
    copies.make(key)
    const sealed = session.encrypt(gcm(), copyOf(key), Buffer.from('text'), 64)
    expect(session.decrypt(gcm(), key.handle, sealed, 64).toString()).to.equal('text')
  })

  it('ARCH-D6: are private, sensitive, never extractable, and no token objects', () => {
    const key = makeKey()
    copies.make(key)
    const types = [
      [CKA.TOKEN, 0],
      [CKA.PRIVATE, 1],
      [CKA.SENSITIVE, 1],
      [CKA.EXTRACTABLE, 0],
      [CKA.ALWAYS_SENSITIVE, 1],
      [CKA.NEVER_EXTRACTABLE, 1],
    ] as const
    const values = session.attributes(
      copyOf(key),
      types.map(([type]) => type),
    )
    expect(values.map((value) => value?.[0])).to.deep.equal(types.map(([, must]) => must))
    expect(session.findAttribute(copyOf(key), CKA.VALUE)).to.equal(undefined)
  })

  it('ARCH-D6: of a key that was ever extractable are refused, and nothing is left of them', () => {
    const key = makeKey({ [CKA.EXTRACTABLE]: true })
    expect(() => copies.make(key)).to.throw('the token made a key with')
    expect(key.copy).to.equal(undefined)
    expect(shown(false)).to.have.length(0)
  })

  it('of an adopted key may have a past outside; a copy that may leave now is refused all the same', () => {
    const imported = importKey()
    expect(() => copies.make(imported)).to.throw('the token made a key with')
    copies.make(imported, true)
    const sealed = session.encrypt(gcm(), copyOf(imported), Buffer.from('text'), 64)
    expect(session.decrypt(gcm(), imported.handle, sealed, 64).toString()).to.equal('text')
    const extractable = makeKey({ [CKA.EXTRACTABLE]: true })
    expect(() => copies.make(extractable, true)).to.throw('extractable = true')
  })

  it('are made once', () => {
    const key = makeKey()
    copies.make(key)
    const first = key.copy
    copies.make(key)
    expect(key.copy).to.equal(first)
    expect(shown(false)).to.have.length(1)
  })

  it('of a key that the token will not copy are not made: its own object serves', () => {
    const key = makeKey({ [CKA.COPYABLE]: false })
    copies.make(key)
    expect(key.copy).to.equal(undefined)
  })

  it('are no more than there may be; one that goes makes room', () => {
    copies = upTo(1)
    const [first, second] = [makeKey(), makeKey()]
    copies.make(first)
    copies.make(second)
    expect(second.copy).to.equal(undefined)
    copies.destroy(first)
    copies.make(second)
    expect(second.copy).to.not.equal(undefined)
  })

  it('leave the process when they are destroyed, and the token object stays', () => {
    const key = makeKey()
    copies.make(key)
    copies.destroy(key)
    expect(key.copy).to.equal(undefined)
    expect(shown(false)).to.have.length(0)
    expect(shown(true)).to.have.length(1)
    copies.destroy(key) // a second time is nothing
  })

  it('are destroyed without complaint where their session has died already', () => {
    const key = makeKey()
    copies.make(key)
    const copy = copyOf(key)
    copies.forget()
    expect(shown(false)).to.have.length(0)
    key.copy = copy
    copies.destroy(key)
  })

  it('survive the token object', () => {
    const key = makeKey()
    copies.make(key)
    session.destroyObject(key.handle)
    const sealed = session.encrypt(gcm(), copyOf(key), Buffer.from('text'), 64)
    expect(session.decrypt(gcm(), copyOf(key), sealed, 64).toString()).to.equal('text')
  })
})
