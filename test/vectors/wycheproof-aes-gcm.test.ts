import { expect } from 'chai'
import { CKA, CKK, CKO } from '../../src/pkcs11/attribute.ts'
import { aesGcm } from '../../src/pkcs11/mechanism.ts'
import { Pkcs11Error } from '../../src/pkcs11/pkcs11-error.ts'
import type { ObjectHandle, Session } from '../../src/pkcs11/session.ts'
import { publicVectors } from '../support/public-vectors.ts'
import { type InProcessToken, inProcessToken } from '../support/softhsm.ts'

interface GcmGroup {
  readonly ivSize: number
  readonly tagSize: number
}
interface GcmTest {
  readonly flags: readonly string[]
  readonly key: string
  readonly iv: string
  readonly aad: string
  readonly msg: string
  readonly ct: string
  readonly tag: string
  readonly result: 'valid' | 'invalid'
}

// Where SoftHSM2 2.6.1 does not do what the vectors say. Neither can be reached through us: an IV is as long as the vendor
// profile says, 96 bits for SoftHSM2, and the header of a blob carries that length.
const DEVIATIONS = [
  { ivBits: 0, count: 6, does: 'encrypts under an IV of no bytes' },
  { ivBits: 2056, count: 3, does: 'computes something of its own under an IV of 257 bytes' },
]

const TAG_BITS = 128

describe('Wycheproof AES-GCM, in a token of its own', () => {
  let token: InProcessToken
  before(() => {
    token = inProcessToken()
  })

  const vectors = publicVectors<GcmGroup, GcmTest>('wycheproof/aes_gcm', { count: 316 })
  const judged = vectors.filter(
    ({ group }) => !DEVIATIONS.some(({ ivBits }) => ivBits === group.ivSize),
  )

  for (const { title, test } of judged.filter(({ test }) => test.result === 'valid')) {
    it(`encrypts and decrypts ${title}`, () => {
      withKey(token, test, (session, key) => {
        expect(encrypt(session, key, test).toString('hex')).to.equal(test.ct + test.tag)
        expect(decrypt(session, key, test).toString('hex')).to.equal(test.msg)
      })
    })
  }

  for (const { title, test } of judged.filter(({ test }) => test.result === 'invalid')) {
    it(`refuses ${title}`, () => {
      withKey(token, test, (session, key) => {
        expect(() => decrypt(session, key, test)).to.throw(Pkcs11Error)
      })
    })
  }

  if (vectors.length > 0) {
    for (const { ivBits, count, does } of DEVIATIONS) {
      it(`knows that SoftHSM2 ${does}: ${count} vectors`, () => {
        const deviating = vectors.filter(({ group }) => group.ivSize === ivBits)
        expect(deviating).to.have.lengthOf(count)
        for (const { test } of deviating) {
          withKey(token, test, (session, key) => {
            const sealed = encrypt(session, key, test).toString('hex')
            expect(sealed).not.to.equal(test.ct + test.tag)
          })
        }
      })
    }

    it('covers what a blob can carry: 197 vectors with an IV of 96 bits, all with a tag of 128', () => {
      expect(judged.filter(({ group }) => group.ivSize === 96)).to.have.lengthOf(197)
      expect(judged.every(({ group }) => group.tagSize === TAG_BITS)).to.equal(true)
    })
  }
})

/** Imports the vector's key as a session object, and closes the session, which ends the object. Only tests import keys. */
function withKey(
  token: InProcessToken,
  test: GcmTest,
  work: (session: Session, key: ObjectHandle) => void,
): void {
  const session = token.openSession()
  try {
    const key = session.createObject([
      { type: CKA.CLASS, value: CKO.SECRET_KEY },
      { type: CKA.KEY_TYPE, value: CKK.AES },
      { type: CKA.TOKEN, value: false },
      { type: CKA.ENCRYPT, value: true },
      { type: CKA.DECRYPT, value: true },
      { type: CKA.VALUE, value: hex(test.key) },
    ])
    work(session, key)
  } finally {
    session.close()
  }
}

function encrypt(session: Session, key: ObjectHandle, test: GcmTest): Buffer {
  const plaintext = hex(test.msg)
  return session.encrypt(mechanismOf(test), key, plaintext, plaintext.length + TAG_BITS / 8)
}

function decrypt(session: Session, key: ObjectHandle, test: GcmTest): Buffer {
  const sealed = hex(test.ct + test.tag)
  return session.decrypt(mechanismOf(test), key, sealed, sealed.length)
}

function mechanismOf(test: GcmTest) {
  return aesGcm({ iv: hex(test.iv), aad: hex(test.aad), tagBits: TAG_BITS })
}

function hex(text: string): Buffer {
  return Buffer.from(text, 'hex')
}
