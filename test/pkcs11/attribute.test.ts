import { expect } from 'chai'
import pkcs11js from 'pkcs11js'
import { CKA, CKK, CKO, ulongOf } from '../../src/pkcs11/attribute.ts'
import { CKM } from '../../src/pkcs11/mechanism.ts'

describe('PKCS#11 numbers', () => {
  const standard = pkcs11js as unknown as Readonly<Record<string, number>>
  const NOT_IN_THE_BINDING = new Set(['CKA_UNIQUE_ID'])

  for (const [prefix, table] of [
    ['CKA_', CKA],
    ['CKO_', CKO],
    ['CKK_', CKK],
    ['', CKM],
  ] as const)
    it(`has the ${prefix || 'CKM_'} numbers of the standard`, () => {
      for (const [name, number] of Object.entries(table)) {
        if (NOT_IN_THE_BINDING.has(prefix + name)) continue
        expect(standard[prefix + name], prefix + name).to.equal(number)
      }
    })

  it('reads a CK_ULONG of four or of eight bytes, and nothing else', () => {
    expect(ulongOf(Buffer.from('1f00000000000000', 'hex'))).to.equal(0x1f)
    expect(ulongOf(Buffer.from('1f000000', 'hex'))).to.equal(0x1f)
    expect(() => ulongOf(Buffer.alloc(3))).to.throw(TypeError)
  })
})
