import { expect } from 'chai'
import { isExternalKeyId, isUriPathPrefix, parseUriPath } from '../../src/xks/uri-path.ts'
import { SeededRandom } from '../support/seeded-random.ts'

const OPERATIONS = [
  ['metadata', 'GetKeyMetadata'],
  ['encrypt', 'Encrypt'],
  ['decrypt', 'Decrypt'],
] as const

describe('parseUriPath', () => {
  for (const uriPathPrefix of ['', '/shop', '/a/b-c_D/0', '/kms/xks/v1', '/kms/xks/v1/keys/x']) {
    for (const [segment, operation] of OPERATIONS)
      it(`XKS U-01: reads ${segment} below "${uriPathPrefix}"`, () =>
        expect(parseUriPath(`${uriPathPrefix}/kms/xks/v1/keys/my.key/${segment}`)).to.deep.equal({
          uriPathPrefix,
          operation,
          externalKeyId: 'my.key',
        }))
    it(`XKS U-01: reads health below "${uriPathPrefix}"`, () =>
      expect(parseUriPath(`${uriPathPrefix}/kms/xks/v1/health`)).to.deep.equal({
        uriPathPrefix,
        operation: 'GetHealthStatus',
        externalKeyId: undefined,
      }))
  }

  for (const id of ['health', 'keys', 'kms', 'encrypt', 'v1', '...', '-', 'constructor'])
    it(`AT-S18: a key may be called ${id}`, () =>
      expect(parseUriPath(`/kms/xks/v1/keys/${id}/encrypt`)?.externalKeyId).to.equal(id))

  const refused: [rule: string, target: string][] = [
    ['XKS U-01', ''],
    ['XKS U-01', '/'],
    ['XKS U-01', '*'],
    ['XKS U-01', '/kms/xks/v1'],
    ['XKS U-01', '/kms/xks/v1/'],
    ['XKS U-01', '/kms/xks/v1/keys'],
    ['XKS U-01', '/kms/xks/v1/keys/encrypt'],
    ['XKS U-01', '/kms/xks/v1/keys/k'],
    ['XKS U-01', '/kms/xks/v1/keys/k/'],
    ['XKS U-01', '/kms/xks/v1/keys/k/sign'],
    ['XKS U-01', '/kms/xks/v1/keys/k/constructor'],
    ['XKS U-01', 'kms/xks/v1/health'],
    ['XKS U-01', '/xkms/xks/v1health'],
    ['XKS U-06', '/kms/xks/v1/keys//encrypt'],
    ['XKS U-06', '/kms/xks/v1/keys/%41/encrypt'],
    ['XKS U-06', '/kms/xks/v1/keys/a b/encrypt'],
    ['XKS U-06', '/kms/xks/v1/keys/é/encrypt'],
    ['XKS U-06', '/kms/xks/v1/keys/a/b/encrypt'],
    ['XKS U-06', `/kms/xks/v1/keys/${'k'.repeat(129)}/encrypt`],
    ['XKS U-07', '/kms/xks/v1/keys/./encrypt'],
    ['XKS U-07', '/kms/xks/v1/keys/../encrypt'],
    ['XKS U-11', '/kms/xks/v2/health'],
    ['XKS U-11', '/kms/xks/v2/keys/k/encrypt'],
    ['XKS U-11', '/kms/xks/v10/keys/k/encrypt'],
    ['XKS U-12', '/kms/xks/v1/health?'],
    ['XKS U-12', '/kms/xks/v1/health?a=b'],
    ['XKS U-12', '/kms/xks/v1/keys/k/encrypt?'],
    ['XKS U-12', '/kms/xks/v1/keys/k?/encrypt'],
    ['AT-S18', '/kms/xks/v1/health#'],
    ['AT-S18', '/kms/xks/v1/health/'],
    ['AT-S18', '/kms/xks/v1//health'],
    ['AT-S18', '//kms/xks/v1/health'],
    ['AT-S18', '/a//b/kms/xks/v1/health'],
    ['AT-S18', '/a/./kms/xks/v1/health'],
    ['AT-S18', '/a/../kms/xks/v1/health'],
    ['AT-S18', '/%61/kms/xks/v1/health'],
    ['AT-S18', '/a%2Fb/kms/xks/v1/health'],
    ['AT-S18', '/a;x/kms/xks/v1/health'],
    ['AT-S18', '/kms/xks/v1/health;x'],
    ['AT-S18', '/KMS/xks/v1/health'],
    ['AT-S18', '/kms/xks/v1/keys/k/Encrypt'],
    ['AT-S18', '/kms/xks/v1/keys/k/encrypt/'],
    ['AT-S18', 'http://evil/kms/xks/v1/health'],
    ['AT-S18', '/ä/kms/xks/v1/health'],
    ['AT-S18', '/kms/xks/v1/health\n'],
    ['AT-S18', '/a\n/kms/xks/v1/health'],
  ]
  for (const [rule, target] of refused)
    it(`${rule}: ${JSON.stringify(target)} is no path of ours`, () =>
      expect(parseUriPath(target)).to.equal(undefined))

  it('XKS U-03: takes 256 characters and no more', () => {
    const target = (idCharacters: number) =>
      `/${'p'.repeat(110)}/kms/xks/v1/keys/${'k'.repeat(idCharacters)}/metadata`
    const least = target(1).length
    expect(target(256 - least + 1)).to.have.lengthOf(256)
    expect(parseUriPath(target(256 - least + 1))).to.include({ operation: 'GetKeyMetadata' })
    expect(parseUriPath(target(256 - least + 2))).to.equal(undefined)
  })

  it('AT-S18: one target has one meaning: what is read writes the same target again', () => {
    const random = new SeededRandom()
    const pieces = [
      '/kms/xks/v1',
      '/keys',
      '/health',
      '/encrypt',
      '/metadata',
      '/a',
      '/..',
      '/',
      'a',
      '.',
      '%2f',
      '?',
    ]
    let read = 0
    for (let round = 0; round < 20_000; round++) {
      const count = Math.floor(random.between(1, 7))
      const target = Array.from({ length: count }, () => random.pick(pieces)).join('')
      const path = parseUriPath(target)
      if (!path) continue
      read++
      const { uriPathPrefix, operation, externalKeyId } = path
      expect(isUriPathPrefix(uriPathPrefix)).to.equal(true)
      const segment = OPERATIONS.find(([, name]) => name === operation)?.[0]
      const tail = segment === undefined ? '/health' : `/keys/${externalKeyId}/${segment}`
      expect(`${uriPathPrefix}/kms/xks/v1${tail}`, `seed ${random.seed}`).to.equal(target)
    }
    expect(read).to.be.above(20)
  })
})

describe('isUriPathPrefix', () => {
  for (const prefix of ['', '/a', '/a/b', '/A-z_0/9', `/${'p'.repeat(116)}`])
    it(`XKS U-02: "${prefix}" may be one`, () => expect(isUriPathPrefix(prefix)).to.equal(true))
  for (const prefix of [
    '/',
    'a',
    '/a/',
    '//',
    '/a//b',
    '/.',
    '/a.b',
    '/%61',
    '/a b',
    '/é',
    '/a\n',
    `/${'p'.repeat(117)}`,
  ])
    it(`XKS U-02: ${JSON.stringify(prefix)} may not`, () =>
      expect(isUriPathPrefix(prefix)).to.equal(false))
})

describe('isExternalKeyId', () => {
  for (const id of ['a', 'A.b_c-9', '...', '_', 'k'.repeat(128)])
    it(`XKS U-06: ${id} may be one`, () => expect(isExternalKeyId(id)).to.equal(true))
  for (const id of ['', 'a b', '%41', 'a/b', 'é', 'a\n', 'a:b', 'k'.repeat(129)])
    it(`XKS U-06: ${JSON.stringify(id)} may not`, () => expect(isExternalKeyId(id)).to.equal(false))
  for (const id of ['.', '..'])
    it(`XKS U-07: ${id} may not`, () => expect(isExternalKeyId(id)).to.equal(false))
})
