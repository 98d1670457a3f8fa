import { expect } from 'chai'
import pkcs11js from 'pkcs11js'
import type { CkrClass } from '../../src/pkcs11/ckr.ts'
import { CKR, CKR_CLASSES, CKR_ROWS, ckrName, ckrRow } from '../../src/pkcs11/ckr.ts'

describe('CKR table', () => {
  it('FM-3.1: has one row for every return code that the binding knows, under the same number', () => {
    const known = Object.entries(pkcs11js).filter(
      ([name]) => name.startsWith('CKR_') && name !== 'CKR_OK' && name !== 'CKR_VENDOR_DEFINED',
    )
    expect(known.length).to.be.greaterThan(80)
    for (const [name, code] of known) expect(ckrName(Number(code)), name).to.equal(name)
  })

  it('names no code and no name twice', () => {
    expect(new Set(CKR_ROWS.map((row) => row.code)).size).to.equal(CKR_ROWS.length)
    expect(new Set(CKR_ROWS.map((row) => row.name)).size).to.equal(CKR_ROWS.length)
  })

  it('knows the codes that PKCS#11 3.x added', () => {
    expect(ckrName(0x42)).to.equal('CKR_AEAD_DECRYPT_FAILED')
    expect(ckrName(0x140)).to.equal('CKR_CURVE_NOT_SUPPORTED')
    expect(ckrName(0x203)).to.equal('CKR_KEY_EXHAUSTED')
    expect(ckrName(0x208)).to.equal('CKR_TOKEN_NOT_INITIALIZED')
  })

  // The classes that decide whether a caller is blamed, a key is retried or a PIN is spent.
  const DECIDED: readonly [keyof typeof CKR, CkrClass][] = [
    ['CKR_DATA_LEN_RANGE', 'INPUT'],
    ['CKR_KEY_FUNCTION_NOT_PERMITTED', 'USAGE'],
    ['CKR_MECHANISM_INVALID', 'UNSUPPORTED'],
    ['CKR_GENERAL_ERROR', 'AMBIGUOUS'],
    ['CKR_FUNCTION_FAILED', 'AMBIGUOUS'],
    ['CKR_ENCRYPTED_DATA_INVALID', 'AMBIGUOUS'],
    ['CKR_SESSION_HANDLE_INVALID', 'SESSION'],
    ['CKR_OPERATION_ACTIVE', 'SESSION'],
    ['CKR_OBJECT_HANDLE_INVALID', 'HANDLE'],
    ['CKR_USER_NOT_LOGGED_IN', 'LOGIN'],
    ['CKR_DEVICE_MEMORY', 'CAPACITY'],
    ['CKR_DEVICE_ERROR', 'DEVICE'],
    ['CKR_CRYPTOKI_NOT_INITIALIZED', 'DEVICE'],
    ['CKR_PIN_INCORRECT', 'PIN'],
    ['CKR_PIN_LOCKED', 'PIN'],
    ['CKR_ARGUMENTS_BAD', 'BUG'],
    ['CKR_TEMPLATE_INCONSISTENT', 'BUG'],
  ]
  for (const [name, ckrClass] of DECIDED)
    it(`FM-3.1: ${name} is ${ckrClass}`, () => expect(ckrRow(CKR[name]).class).to.equal(ckrClass))

  it('calls a code of a vendor by its number and a BUG', () => {
    expect(ckrRow(0x80000123)).to.deep.equal({
      code: 0x80000123,
      name: 'CKR_0x80000123',
      class: 'BUG',
    })
  })

  it('ARCH-D10: a code that the profile distrusts waits for evidence, a vendor code too', () => {
    const ambiguous = new Set(['CKR_DATA_LEN_RANGE', 'CKR_0x80000123'])
    expect(ckrRow(CKR.CKR_DATA_LEN_RANGE, ambiguous).class).to.equal('AMBIGUOUS')
    expect(ckrRow(0x80000123, ambiguous).class).to.equal('AMBIGUOUS')
    expect(ckrRow(CKR.CKR_DATA_LEN_RANGE).class).to.equal('INPUT')
    expect(CKR_CLASSES.AMBIGUOUS.cure).to.equal('evidence')
  })

  it('ARCH-D4: a refused PIN is latched, and the lane is not replaced by one that would try again', () => {
    expect(CKR_CLASSES.PIN).to.deep.equal({
      custodyCode: 'LOGIN_REFUSED',
      advice: 'keep',
      cure: 'latch',
    })
  })
})
