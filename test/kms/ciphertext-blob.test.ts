import { hash } from 'node:crypto'
import { expect } from 'chai'
import type { Material } from '../../src/crypto/key-custody.ts'
import {
  blobAad,
  blobHeader,
  parseCiphertextBlob,
  writeCiphertextBlob,
} from '../../src/kms/ciphertext-blob.ts'
import { KmsError } from '../../src/kms/kms-error.ts'

const MATERIAL: Material = {
  materialId: 'ab'.repeat(32),
  scheme: 'AES_GCM',
  objects: [],
  proof: Buffer.alloc(0),
}
const SEALED = { iv: Buffer.alloc(12, 1), ciphertext: Buffer.alloc(20, 2) }
const HEADER_BYTES = 43

describe('ciphertext blob', () => {
  const blob = writeCiphertextBlob(blobHeader(MATERIAL, 12), SEALED)

  it('ARCH-D8: names version, scheme and material, and gives IV and ciphertext back', () => {
    const parsed = parseCiphertextBlob(blob)
    expect(parsed.version).to.equal(1)
    expect(parsed.scheme).to.equal('AES_GCM')
    expect(parsed.materialId).to.equal(MATERIAL.materialId)
    expect(parsed.sealed).to.deep.equal(SEALED)
    expect(parsed.header).to.deep.equal(blob.subarray(0, HEADER_BYTES))
  })

  it('has this very form, which must never change', () => {
    expect(blob.toString('hex')).to.equal(
      `0101${'ab'.repeat(32)}0c${checkOf(blob)}${'01'.repeat(12)}${'02'.repeat(20)}`,
    )
  })

  it('AT-C05: refuses every single flipped bit of its header', () => {
    for (let bit = 0; bit < HEADER_BYTES * 8; bit++) expectRefused(flipped(blob, bit))
  })

  it('AT-C02: refuses a blob that ends before its ciphertext begins', () => {
    for (let length = 0; length <= HEADER_BYTES + 12; length++)
      expectRefused(blob.subarray(0, length))
  })

  it('refuses an unknown version and an unknown scheme under a fitting check', () => {
    for (const [offset, value] of [
      [0, 2],
      [1, 99],
    ] as const) {
      const edited = Buffer.from(blob)
      edited[offset] = value
      Buffer.from(checkOf(edited), 'hex').copy(edited, HEADER_BYTES - 8)
      expectRefused(edited)
    }
  })

  it('refuses to write an IV of another length than the header says', () => {
    const header = blobHeader(MATERIAL, 16)
    expect(() => writeCiphertextBlob(header, SEALED)).to.throw(TypeError)
  })

  const key = { accountId: '111122223333', keyId: 'mrk-1' }
  const header = blobHeader(MATERIAL, 12)
  const aad = blobAad(header, key, { a: 'b' })
  const others: [string, Buffer][] = [
    ['header', blobAad(blobHeader({ ...MATERIAL, scheme: 'AES_CBC_HMAC' }, 12), key, { a: 'b' })],
    ['account', blobAad(header, { ...key, accountId: '111122223334' }, { a: 'b' })],
    ['key id', blobAad(header, { ...key, keyId: 'mrk-2' }, { a: 'b' })],
    ['context', blobAad(header, key, { a: 'c' })],
    [
      'boundary of account and key id',
      blobAad(header, { accountId: '111122223333m', keyId: 'rk-1' }, { a: 'b' }),
    ],
  ]
  for (const [what, other] of others)
    it(`binds the ${what}`, () => {
      expect(other).not.to.deep.equal(aad)
    })
})

/** The check, computed here a second time from its description. */
function checkOf(blob: Buffer): string {
  const domain = Buffer.from('hsm-bridge ciphertext blob header\0')
  return hash('sha256', Buffer.concat([domain, blob.subarray(0, 35)]), 'hex').slice(0, 16)
}

function flipped(blob: Buffer, bit: number): Buffer {
  const edited = Buffer.from(blob)
  edited[bit >> 3] = (edited[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return edited
}

function expectRefused(blob: Buffer): void {
  expect(() => parseCiphertextBlob(blob))
    .to.throw(KmsError)
    .that.includes({ code: 'InvalidCiphertextException', hasMessage: false })
}
