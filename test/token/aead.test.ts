import { createCipheriv, createHash, randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { fields } from '../../src/bytes/fields.ts'
import type { AeadSchemeName } from '../../src/crypto/aead-scheme.ts'
import { aesKeyGen, genericSecretKeyGen, hmacSha256 } from '../../src/pkcs11/mechanism.ts'
import type { Session } from '../../src/pkcs11/session.ts'
import { secretKeyTemplate } from '../../src/pkcs11/template.ts'
import type { VendorProfile } from '../../src/pkcs11/vendor-profile.ts'
import { Aead, MacMismatch } from '../../src/token/aead.ts'
import { type CipherStep, runSteps, runStepsAsync, type Steps } from '../../src/token/lane-steps.ts'
import { type InProcessToken, inProcessToken } from '../support/softhsm.ts'

const AAD = Buffer.from('the associated data')

describe('the AEAD schemes on a session', () => {
  let token: InProcessToken
  let session: Session
  let cipher: Buffer
  let mac: Buffer

  before(() => {
    token = inProcessToken()
    session = token.openSession()
    const template = (
      keyType: 'AES' | 'GENERIC_SECRET',
      uses: ('ENCRYPT' | 'DECRYPT' | 'SIGN')[],
    ) =>
      secretKeyTemplate(
        { id: randomBytes(8), label: 'k', keyType, valueBytes: 32, uses },
        token.profile,
      )
    cipher = session.generateKey(aesKeyGen(), template('AES', ['ENCRYPT', 'DECRYPT']))
    mac = session.generateKey(genericSecretKeyGen(), template('GENERIC_SECRET', ['SIGN']))
  })
  after(() => session.close())

  const aeadWith = (profile: Partial<VendorProfile> = {}) =>
    new Aead({ ...token.profile, ...profile })
  const keys = () => [cipher, mac]

  for (const scheme of ['AES_GCM', 'AES_CBC_HMAC'] as const satisfies AeadSchemeName[])
    it(`${scheme} gives the same result in both forms of calling`, async () => {
      const aead = aeadWith({ maxCipherBytes: 64 })
      const text = randomBytes(40)
      const one = runSteps(aead.seal(scheme, session, keys(), text, AAD))
      const two = await runStepsAsync(aead.seal(scheme, session, keys(), text, AAD))
      expect(one.iv).not.to.deep.equal(two.iv)
      for (const sealed of [one, two]) {
        expect(runSteps(aead.open(scheme, session, keys(), sealed, AAD))).to.deep.equal(text)
        expect(await runStepsAsync(aead.open(scheme, session, keys(), sealed, AAD))).to.deep.equal(
          text,
        )
      }
    })

  it('CBC in chunks gives the same bytes as in one piece', () => {
    const sealed = runSteps(aeadWith().seal('AES_CBC_HMAC', session, keys(), randomBytes(500), AAD))
    for (const maxCipherBytes of [16, 31, 64, 500])
      expect(
        runSteps(aeadWith({ maxCipherBytes }).open('AES_CBC_HMAC', session, keys(), sealed, AAD)),
      ).to.have.length(500)
    const steps = record(
      aeadWith({ maxCipherBytes: 100 }).seal(
        'AES_CBC_HMAC',
        session,
        keys(),
        randomBytes(500),
        AAD,
      ),
    )
    expect(steps.map(({ call, input }) => `${call} ${input.length}`)).to.deep.equal([
      ...Array.from({ length: 5 }, () => 'encrypt 96'),
      'encrypt 32',
      'sign 32',
    ])
  })

  it('CBC and HMAC are what the standard says, over the length-prefixed parts', () => {
    const key = randomBytes(32)
    const text = randomBytes(100)
    const aead = aeadWith({ maxCipherBytes: 48 })
    let iv: Buffer = Buffer.alloc(0)
    // A software cipher in the place of the token: the same chunks, chained the same way.
    const sealed = runWith(aead.seal('AES_CBC_HMAC', session, keys(), text, AAD), (step) => {
      if (step.call === 'sign') return session.sign(step.mechanism, step.key, step.input, 32)
      const parameter = step.mechanism.parameter as Buffer
      if (iv.length === 0) iv = parameter
      const software = createCipheriv('aes-256-cbc', key, parameter).setAutoPadding(false)
      return Buffer.concat([software.update(step.input), software.final()])
    })
    const whole = createCipheriv('aes-256-cbc', key, iv)
    const body = Buffer.concat([whole.update(text), whole.final()])
    const digest = createHash('sha256')
      .update(fields().sized(4, AAD).sized(1, iv).sized(4, body).bytes())
      .digest()
    const expected = session.sign(hmacSha256(), mac, digest, 32)
    expect(sealed).to.deep.equal({ iv, ciphertext: Buffer.concat([body, expected]) })
  })

  it('no byte moves between associated data, IV and ciphertext (AT-C07)', () => {
    const aead = aeadWith()
    const { iv, ciphertext } = runSteps(
      aead.seal('AES_CBC_HMAC', session, keys(), randomBytes(40), AAD),
    )
    // The same bytes in a row, divided elsewhere.
    const moved = { iv: ciphertext.subarray(0, 16), ciphertext: ciphertext.subarray(16) }
    expect(() =>
      runSteps(aead.open('AES_CBC_HMAC', session, keys(), moved, Buffer.concat([AAD, iv]))),
    ).to.throw(MacMismatch)
  })

  it('checks the MAC before anything is decrypted (AT-C16)', () => {
    const aead = aeadWith()
    const { iv, ciphertext } = runSteps(aead.seal('AES_CBC_HMAC', session, keys(), AAD, AAD))
    ciphertext[0] = (ciphertext[0] ?? 0) ^ 1
    const calls: string[] = []
    const opening = aead.open('AES_CBC_HMAC', session, keys(), { iv, ciphertext }, AAD)
    expect(() =>
      runWith(opening, (step) => {
        calls.push(step.call)
        return session.sign(step.mechanism, step.key, step.input, 32)
      }),
    ).to.throw(MacMismatch)
    expect(calls).to.deep.equal(['sign'])
  })

  it('a padding that is wrong under a MAC that is right is a lie of the token', () => {
    const aead = aeadWith()
    const sealed = runSteps(aead.seal('AES_CBC_HMAC', session, keys(), AAD, AAD))
    const opening = aead.open('AES_CBC_HMAC', session, keys(), sealed, AAD)
    const lying = (step: CipherStep) =>
      step.call === 'sign'
        ? session.sign(step.mechanism, step.key, step.input, 32)
        : Buffer.alloc(step.input.length, 17)
    expect(() => runWith(opening, lying))
      .to.throw()
      .with.property('code', 'TOKEN_LIED')
  })

  it('a GCM result of another length than asked is a lie of the token', () => {
    const aead = aeadWith()
    const short = (step: CipherStep) => Buffer.alloc(step.maxOutputBytes - 1)
    expect(() => runWith(aead.seal('AES_GCM', session, keys(), AAD, AAD), short))
      .to.throw()
      .with.property('code', 'TOKEN_LIED')
    const sealed = { iv: randomBytes(12), ciphertext: randomBytes(40) }
    expect(() =>
      runWith(aead.open('AES_GCM', session, keys(), sealed, AAD), () => Buffer.alloc(25)),
    )
      .to.throw()
      .with.property('code', 'TOKEN_LIED')
  })

  it('GCM refuses a plaintext whose ciphertext the token could not take back', () => {
    const aead = aeadWith({ maxCipherBytes: 1024 })
    const seal = (bytes: number) =>
      runSteps(aead.seal('AES_GCM', session, keys(), randomBytes(bytes), AAD))
    expect(seal(1008).ciphertext).to.have.length(1024)
    expect(() => seal(1009))
      .to.throw()
      .with.property('code', 'INPUT')
  })

  it('asks the token for tags of 128 bits and no other', () => {
    const [step] = record(aeadWith().seal('AES_GCM', session, keys(), AAD, AAD))
    expect(step?.mechanism.parameter).to.include({ tagBits: 128, ivBits: 96 })
  })

  it('draws a fresh IV of the profile’s length for every encryption', () => {
    const aead = aeadWith({ ivBytes: 16 })
    const ivs = Array.from({ length: 100 }, () =>
      runSteps(aead.seal('AES_GCM', session, keys(), AAD, AAD)).iv.toString('hex'),
    )
    expect(new Set(ivs).size).to.equal(100)
    expect(ivs[0]).to.have.length(32)
  })
})

function runWith<T>(steps: Steps<T>, perform: (step: CipherStep) => Buffer): T {
  let next = steps.next()
  while (!next.done) next = steps.next(perform(next.value))
  return next.value
}

function record(steps: Steps<unknown>): CipherStep[] {
  const seen: CipherStep[] = []
  runWith(steps, (step) => {
    seen.push(step)
    return step.session[step.call](step.mechanism, step.key, step.input, step.maxOutputBytes)
  })
  return seen
}
