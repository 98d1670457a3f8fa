import 'reflect-metadata'
import { X509CrlGenerator } from '@peculiar/x509'
import { expect } from 'chai'
import { KeyObject, X509Certificate } from 'node:crypto'
import { parseRevocationLists, RevocationList } from '../../src/http/revocation-list.ts'
import { TestAuthority } from '../support/certificates.ts'

const SERIALS = ['01', '00ff', '7f', '80', '4d2a9c11223344556677889900aabbcc']

describe('RevocationList', () => {
  let authority: TestAuthority
  let ca: X509Certificate
  let keys: CryptoKeyPair

  before(async () => {
    authority = await TestAuthority.create()
    ca = new X509Certificate(authority.cert)
    keys = await makeRsaKeys()
  })

  const listOf = async (...serialNumbers: readonly string[]): Promise<Buffer> => {
    const crl = await X509CrlGenerator.create({
      issuer: 'CN=x',
      signingKey: keys.privateKey,
      signingAlgorithm: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
      entries: serialNumbers.map((serialNumber) => ({ serialNumber })),
    })
    return Buffer.from(crl.rawData)
  }
  const named = (serialNumber: string) => ({ serialNumber }) as X509Certificate

  it('AT-H13: names the certificates that it takes back, and no other', async () => {
    const list = new RevocationList(await listOf(...SERIALS))
    for (const serial of SERIALS) {
      expect(list.revokes(named(serial.toUpperCase())), serial).equal(true)
      expect(list.revokes(named(serial.replace(/^0+/, ''))), serial).equal(true)
      expect(list.revokes(named(`1${serial}`)), serial).equal(false)
    }
    expect(new RevocationList(await listOf()).revokes(named('01'))).equal(false)
  })

  it('AT-H13: belongs to the CA whose key signed it, EC or RSA, and to no CA of the same name', async () => {
    const [list] = parseRevocationLists(await authority.revoke())
    expect(list?.isOf(ca)).equal(true)
    expect(list?.isOf(new X509Certificate(await authority.renewed()))).equal(true)
    const stranger = await TestAuthority.create()
    expect(list?.isOf(new X509Certificate(stranger.cert))).equal(false)
    const byRsa = new RevocationList(await listOf('01'))
    expect(byRsa.isOf(ca)).equal(false)
    const publicKey = KeyObject.from(keys.publicKey)
    expect(byRsa.isOf({ publicKey } as X509Certificate)).equal(true)
  })

  it('belongs to nobody when a byte of it was changed', async () => {
    const [list] = parseRevocationLists(await authority.revoke({ revoked: [authority.cert] }))
    const der = derOf(list?.pem ?? '')
    const at = der.indexOf(Buffer.from(ca.serialNumber, 'hex')) + 3
    der.writeUInt8(der.readUInt8(at) ^ 1, at)
    expect(new RevocationList(der).isOf(ca)).equal(false)
  })

  it('RFC 5280 §5.1.2.4: holds from its date to that of the next, and for ever where none is promised', async () => {
    const thisUpdate = new Date('2049-12-31T23:59:00Z') // two digits of the year
    const nextUpdate = new Date('2050-01-01T00:00:00Z') // four
    const [list] = parseRevocationLists(await authority.revoke({ thisUpdate, nextUpdate }))
    expect(list?.nextUpdate).equal(nextUpdate.getTime())
    expect(list?.findTrouble(thisUpdate.getTime() - 1000)).match(/ahead of our clock/)
    expect(list?.findTrouble(thisUpdate.getTime())).equal(undefined)
    expect(list?.findTrouble(nextUpdate.getTime() + 1000)).match(/out of date/)
    const [always] = parseRevocationLists(await authority.revoke({ nextUpdate: undefined }))
    expect(always?.findTrouble(Date.parse('2100-01-01T00:00:00Z'))).equal(undefined)
  })

  it('is read from DER and from PEM, several in a file', async () => {
    const texts = [await authority.revoke(), await authority.revoke()]
    expect(parseRevocationLists(texts.join('words in between'))).lengthOf(2)
    const [first = ''] = texts
    const [fromPem] = parseRevocationLists(first)
    const [fromDer] = parseRevocationLists(derOf(first))
    expect(fromDer?.pem).equal(fromPem?.pem)
    expect(derOf(fromPem?.pem ?? '')).deep.equal(derOf(first))
  })

  it('is not what is cut off, a certificate, or nothing', async () => {
    const der = derOf(await authority.revoke({ revoked: [authority.cert] }))
    for (let length = 0; length < der.length; length++)
      expect(() => new RevocationList(der.subarray(0, length)), `${length} bytes`).throw(Error)
    expect(() => new RevocationList(Buffer.concat([der, der]))).throw('it is no CRL')
    for (const file of ['', 'x', authority.cert, ca.raw])
      expect(() => parseRevocationLists(file)).throw(Error)
  })

  it('AT-H10: is not what was signed with SHA-1', async () => {
    const der = await listOf('01')
    const sha256 = Buffer.from('2a864886f70d01010b', 'hex')
    const sha1 = Buffer.from('2a864886f70d010105', 'hex')
    sha1.copy(der, der.lastIndexOf(sha256))
    expect(() => new RevocationList(der)).throw('SHA-2')
  })
})

function derOf(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----.*-----|\s/g, ''), 'base64')
}

async function makeRsaKeys(): Promise<CryptoKeyPair> {
  const publicExponent = new Uint8Array([1, 0, 1])
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', modulusLength: 2048 }
  return await crypto.subtle.generateKey({ ...algorithm, publicExponent }, true, ['sign', 'verify'])
}
