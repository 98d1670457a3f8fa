import { expect } from 'chai'
import { canonicalPath, canonicalQuery, canonicalValue } from '../../src/sigv4/canonical-request.ts'

describe('canonicalPath', () => {
  const cases: [raw: string, canonical: string][] = [
    ['/', '/'],
    ['//', '/'],
    ['/./', '/'],
    ['/example/..', '/'],
    ['/a/b/../..', '/'],
    ['/../../a', '/a'],
    ['/./example', '/example'],
    ['//example//', '/example/'],
    ['/a/../b/', '/b/'],
    ['/example%20space/', '/example%2520space/'],
    ['/a%2Fb', '/a%252Fb'],
    ['/a%2fb', '/a%252fb'],
    ['/%2e%2e/a', '/%252e%252e/a'],
    ['/a;x=1', '/a%3Bx%3D1'],
    ["/!'()*", '/%21%27%28%29%2A'],
    [`/${Buffer.from('ሴ').toString('latin1')}`, '/%E1%88%B4'],
    ['/kms/xks/v1/keys/x', '/kms/xks/v1/keys/x'],
  ]
  for (const [raw, canonical] of cases)
    it(`${JSON.stringify(raw)} is ${canonical}`, () =>
      expect(canonicalPath(raw)).to.equal(canonical))
})

describe('canonicalQuery', () => {
  const cases: [raw: string, canonical: string][] = [
    ['', ''],
    ['b=2&a=1', 'a=1&b=2'],
    ['a=2&a=1', 'a=1&a=2'],
    ['a=10&a=9', 'a=10&a=9'],
    ['x=a.b&x=a%2Fb', 'x=a%2Fb&x=a.b'],
    ['a&b=', 'a=&b='],
    ['a=1=2', 'a=1%3D2'],
    ['&&a=1&', 'a=1'],
    ['a=%7e%41', 'a=~A'],
    ['a=b+c', 'a=b%20c'],
    ['a=%0a', 'a=%0A'],
    ['a=%zz%', 'a=%25zz%25'],
    ['B=1&a=1', 'B=1&a=1'],
    ['ab=1&a=2', 'a=2&ab=1'],
  ]
  for (const [raw, canonical] of cases)
    it(`${JSON.stringify(raw)} is ${canonical}`, () =>
      expect(canonicalQuery(raw)).to.equal(canonical))
})

describe('canonicalValue', () => {
  const cases: [raw: string, canonical: string][] = [
    ['', ''],
    ['a b', 'a b'],
    ['  a   b  ', 'a b'],
    ['\ta\tb \t c\t', 'a b c'],
    ['"a   b"', '"a b"'],
    ['caf\u00c3\u00a0 ', 'caf\u00c3\u00a0'],
  ]
  for (const [raw, canonical] of cases)
    it(`AT-S29 ${JSON.stringify(raw)} is ${JSON.stringify(canonical)}`, () =>
      expect(canonicalValue(raw)).to.equal(canonical))
})
