import { createCipheriv, createDecipheriv, createHash } from 'node:crypto'
import { expect } from 'chai'
import { credentialFor } from '../support/describe-xks-changes.ts'
import {
  generateByTool,
  importByTool,
  PKCS11_TOOL,
  pkcs11Tool,
  type ToolKey,
} from '../support/pkcs11-tool.ts'
import { OTHER_PREFIX, OTHER_STORE, STORE, XksDaemonUnderTest } from '../support/xks-daemon.ts'
import { decryptCall, encryptCall, type XksAnswer, type XksCall } from '../support/xks-request.ts'
import { aadOf, CIPHERTEXTS } from '../xks/golden-vectors.ts'
import { describeProgram } from './xks-endpoint.ts'

const VALUE = Buffer.from(CIPHERTEXTS.keys.adopted.value, 'hex')
const PLAINTEXT = Buffer.from('a secret')
const AADS = [undefined, 0, 1, 8192] as const
interface AdoptParameters {
  readonly id?: string
  readonly label?: string
  readonly acceptImported?: boolean
}

type Vector = (typeof CIPHERTEXTS.ciphertexts)[number]

/** The same bytes in two objects: what aws-kms-xks-proxy used, and a copy that it did not. */
const FROM_PROXY: ToolKey = { id: 'b1', label: 'from-proxy' }
const PLAIN: ToolKey = { id: 'b2', label: 'plain' }
/** And another copy, for another store: what another HSM has, into which the same key was brought. */
const TWIN: ToolKey = { id: 'b3', label: 'twin' }

describeProgram(PKCS11_TOOL, 'a key of another program behind the XKS face', () => {
  let xks: XksDaemonUnderTest

  before(async () => {
    xks = await XksDaemonUnderTest.start({ otherStore: true })
    for (const key of [FROM_PROXY, PLAIN, TWIN]) importByTool(xks.daemon.token, key, VALUE)
  })
  after(() => xks?.stop())

  it('ARCH-D6: one that was outside the token is adopted only by who says so', async () => {
    expect(await refusal({ label: PLAIN.label })).to.include('CKA_LOCAL is false')
  })

  it('is adopted by its label, and says of itself where it comes from', async () => {
    const from = ['--from', 'aws-kms-xks-proxy', '--accept-imported']
    const printed = await adopt('migrated', '--label', FROM_PROXY.label, ...from)
    expect(printed).to.match(/made in the token +no/)
  })

  it('is adopted by its id', async () => {
    await adopt('plain', '--id', PLAIN.id, '--accept-imported')
    expect(await refusal({ id: PLAIN.id, acceptImported: true })).to.include('already')
  })

  for (const bytes of AADS)
    it(`XKS E-04, XKS E-11, XKS E-14: encrypts as anybody with the key can compute: AAD ${bytes ?? 'absent'}`, async () => {
      const aad = bytes === undefined ? undefined : Buffer.alloc(bytes, 5)
      const { status, body } = await xks.call(withAad(encryptCall('plain', PLAINTEXT), aad))
      expect(status).to.equal(200)
      const [ciphertext, iv, tag, metadata] = partsOf(body)
      expect(metadata?.[0]).to.equal(1) // XKS E-13
      const cipher = createCipheriv('aes-256-gcm', VALUE, iv)
      cipher.setAAD(gcmInput(aad ?? Buffer.alloc(0), metadata))
      expect(Buffer.concat([cipher.update(PLAINTEXT), cipher.final()])).to.deep.equal(ciphertext)
      expect(cipher.getAuthTag()).to.deep.equal(tag)
      const cdiv = createHash('sha256')
      for (const part of [aad ?? '', metadata, iv, ciphertext, tag]) cdiv.update(part)
      expect(body['ciphertextDataIntegrityValue']).to.equal(cdiv.digest('base64'))
    })

  it('what aws-kms-xks-proxy encrypted opens where the key is from there, and nothing else without our metadata', async () => {
    for (const vector of theirVectors()) {
      const { status, body } = await xks.call(openingOf('migrated', vector))
      // Without an AAD the two ways are one.
      const isTheirs = vector.title.includes('hashed') || vector.aadBytes === null
      if (!isTheirs) expect(body.errorName, vector.title).to.equal('InvalidCiphertextException')
      else
        expect({ status, ...body }, vector.title).to.deep.equal({
          status: 200,
          plaintext: vector.plaintext,
        })
    }
  })

  it('and elsewhere only what has its AAD as the specification wants it', async () => {
    for (const vector of theirVectors()) {
      const { status, body } = await xks.call(openingOf('plain', vector))
      const isHashed = vector.title.includes('hashed') && vector.aadBytes !== null
      if (isHashed) expect(body.errorName, vector.title).to.equal('InvalidCiphertextException')
      else
        expect({ status, ...body }, vector.title).to.deep.equal({
          status: 200,
          plaintext: vector.plaintext,
        })
    }
  })

  it('AT-C10: one object is one external key, in whatever store', async () => {
    const keyUsage = ['ENCRYPT', 'DECRYPT']
    const wish = { id: PLAIN.id, acceptImported: true, encryptionsSoFar: 0, keyUsage }
    const again = xks.administer('xks key adopt', { name: `${OTHER_STORE}/plain`, ...wish })
    expect(await again.catch(({ message }: Error) => message)).to.include('already')
    await xks.administer('xks key adopt', { name: `${OTHER_STORE}/twin`, ...wish, id: TWIN.id })
  })

  it('AT-C10: the same bytes in another object, adopted, open it; what was made here does not', async () => {
    const elsewhere = {
      ...(await credentialFor(xks, OTHER_STORE, xks.endpoint())),
      uriPathPrefix: OTHER_PREFIX,
    }
    await xks.administer('xks key create', {
      name: `${OTHER_STORE}/made`,
      keyUsage: ['ENCRYPT', 'DECRYPT'],
    })
    const made = await xks.call(encryptCall('plain', PLAINTEXT))
    const opened = await xks.call(decryptCall('twin', made.body), elsewhere)
    expect(plaintextOf(opened)).to.deep.equal(PLAINTEXT)
    for (const [keyId, endpoint] of [
      ['made', elsewhere],
      ['migrated', xks.endpoint()], // opens in the form of aws-kms-xks-proxy alone
    ] as const) {
      const { status, body } = await xks.call(decryptCall(keyId, made.body), endpoint)
      expect([status, body.errorName]).to.deep.equal([400, 'InvalidCiphertextException'])
    }
  })

  it('is rotated to material of the token’s own making; what is old opens as before', async () => {
    const before = await xks.call(encryptCall('migrated', PLAINTEXT))
    await xks.daemon.cli('xks', 'key', 'rotate', `${STORE}/migrated`)
    const after = await xks.call(encryptCall('migrated', PLAINTEXT))
    expect(opensWith(VALUE, before.body)).to.equal(true)
    expect(opensWith(VALUE, after.body)).to.equal(false)
    for (const { body } of [before, after])
      expect(plaintextOf(await xks.call(decryptCall('migrated', body)))).to.deep.equal(PLAINTEXT)
    const [vector] = theirVectors().filter(({ title }) => title.includes('hashed AAD one byte'))
    if (!vector) throw new Error('no such vector')
    expect((await xks.call(openingOf('migrated', vector))).body['plaintext']).to.equal(
      vector.plaintext,
    )
  })

  it('XKS U-05: is refused where another has its label, or its id', async () => {
    const { token } = xks.daemon
    generateByTool(token, { id: 'c1', label: 'double' })
    generateByTool(token, { id: 'c2', label: 'double' })
    generateByTool(token, { id: 'c2', label: 'single' })
    for (const named of [{ label: 'double' }, { id: 'c2' }, { label: 'single' }])
      expect(await refusal(named), JSON.stringify(named)).to.match(/more than one|two|several/i)
    await administered('not-double', { id: 'c1' })
  })

  it('ARCH-D6: is refused where it may leave the token, whatever is accepted', async () => {
    generateByTool(xks.daemon.token, { id: 'c3', label: 'leaves' }, '--extractable')
    const refused = await refusal({ label: 'leaves', acceptImported: true })
    expect(refused).to.include('CKA_EXTRACTABLE')
  })

  it('ARCH-D11: is in the token still, after all that was done with it', async () => {
    await xks.administer('xks key disable', { name: `${STORE}/migrated` })
    const { missingMaterials } = await xks.administer<{ missingMaterials: unknown }>('reconcile', {
      destroyUncommitted: true,
    })
    expect(missingMaterials).to.deep.equal([])
    expect(objectsNamed(FROM_PROXY.label)).to.equal(1)
    expect(objectsNamed(PLAIN.label)).to.equal(1)
  })

  it('XKS X-16: destroyed by somebody, it is an internal error and never an absent key or a bad ciphertext', async () => {
    generateByTool(xks.daemon.token, { id: 'c4', label: 'doomed' })
    await administered('doomed', { label: 'doomed' })
    const sealed = await xks.call(encryptCall('doomed', PLAINTEXT))
    expect(sealed.status).to.equal(200)
    pkcs11Tool(xks.daemon.token, '--delete-object', '--type', 'secrkey', '--id', 'c4')
    await xks.daemon.terminate() // lanes may have a copy of their own until they end
    await xks.daemon.serve()
    await xks.daemon.whole() // the use is repeated on another lane
    for (const call of [encryptCall('doomed', PLAINTEXT), decryptCall('doomed', sealed.body)]) {
      const { status, body } = await xks.call(call)
      expect([status, body.errorName]).to.deep.equal([500, 'InternalException'])
    }
    expect((await xks.call(encryptCall('plain', PLAINTEXT))).status).to.equal(200)
  })

  function adopt(name: string, ...flags: readonly string[]): Promise<string> {
    return xks.daemon.cli('xks', 'key', 'adopt', `${STORE}/${name}`, ...flags)
  }

  function administered(name: string, given: AdoptParameters): Promise<unknown> {
    const facts = { name: `${STORE}/${name}`, keyUsage: ['ENCRYPT', 'DECRYPT'] }
    const rest = { acceptImported: false, encryptionsSoFar: 0 }
    return xks.administer('xks key adopt', { ...facts, ...rest, ...given })
  }

  function refusal(given: AdoptParameters): Promise<string> {
    return administered('refused', given).then(
      () => expect.fail('it was adopted'),
      ({ message }: Error) => message,
    )
  }

  function objectsNamed(label: string): number {
    const listed = pkcs11Tool(xks.daemon.token, '--list-objects', '--type', 'secrkey')
    return [...listed.matchAll(/label: +(\S+)/g)].filter(([, name]) => name === label).length
  }
})

function theirVectors(): Vector[] {
  const vectors = CIPHERTEXTS.ciphertexts.filter(({ key }) => key === 'adopted')
  expect(vectors).to.have.length(16)
  return vectors
}

function openingOf(keyId: string, { iv, ciphertext, tag, metadata, aadBytes }: Vector): XksCall {
  const sealed = { initializationVector: iv, ciphertext, authenticationTag: tag }
  const call = decryptCall(keyId, {
    ...sealed,
    ...(metadata !== null && { ciphertextMetadata: metadata }),
  })
  return withAad(call, aadOf(aadBytes))
}

function withAad({ path, body }: XksCall, aad: Buffer | undefined): XksCall {
  return { path, body: { ...body, additionalAuthenticatedData: aad?.toString('base64') } }
}

/** Written down a second time on purpose: two bytes of length, AAD, one byte of length, metadata. */
function gcmInput(aad: Buffer, metadata: Buffer): Buffer {
  const lengths = [aad.length >> 8, aad.length & 0xff]
  return Buffer.concat([Buffer.from(lengths), aad, Buffer.from([metadata.length]), metadata])
}

function partsOf(
  body: XksAnswer['body'],
): [ciphertext: Buffer, iv: Buffer, tag: Buffer, metadata: Buffer] {
  const bytes = (name: string) => Buffer.from(String(body[name]), 'base64')
  return [
    bytes('ciphertext'),
    bytes('initializationVector'),
    bytes('authenticationTag'),
    bytes('ciphertextMetadata'),
  ]
}

function opensWith(key: Buffer, body: XksAnswer['body']): boolean {
  const [ciphertext, iv, tag, metadata] = partsOf(body)
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 })
  decipher.setAAD(gcmInput(Buffer.from('aad'), metadata)).setAuthTag(tag)
  const opened = decipher.update(ciphertext)
  try {
    return Buffer.concat([opened, decipher.final()]).equals(PLAINTEXT)
  } catch {
    return false
  }
}

function plaintextOf({ body }: XksAnswer): Buffer {
  return Buffer.from(String(body['plaintext']), 'base64')
}
