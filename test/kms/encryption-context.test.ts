import { expect } from 'chai'
import fc from 'fast-check'
import { canonicalContext } from '../../src/kms/encryption-context.ts'
import { KmsError } from '../../src/kms/kms-error.ts'

describe('canonicalContext', () => {
  const pairs = fc.uniqueArray(
    fc.tuple(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' })),
    { selector: ([key]) => key, maxLength: 6 },
  )

  it('does not depend on the order of the members', () => {
    fc.assert(
      fc.property(pairs, (list) => {
        expect(canonicalContext(record(list))).to.deep.equal(
          canonicalContext(record(list.toReversed())),
        )
      }),
    )
  })

  it('is different for different contexts', () => {
    fc.assert(
      fc.property(pairs, pairs, (a, b) => {
        const same = sorted(a) === sorted(b)
        expect(canonicalContext(record(a)).equals(canonicalContext(record(b)))).to.equal(same)
      }),
    )
  })

  const different: [string, Record<string, string>, Record<string, string>][] = [
    ["{a: 'bc'} and {ab: 'c'}", { a: 'bc' }, { ab: 'c' }],
    ['an empty value and no pair', { a: '' }, {}],
    ['an empty value and an empty key', { a: '' }, { '': 'a' }],
    ['a composed and a decomposed letter', { a: '\u00e9' }, { a: 'e\u0301' }],
    ['two pairs and one that holds both', { a: 'b', c: 'd' }, { a: 'bcd' }],
  ]
  for (const [title, a, b] of different)
    it(`keeps ${title} apart`, () => {
      expect(canonicalContext(a)).not.to.deep.equal(canonicalContext(b))
    })

  it('sorts by UTF-8 bytes, which is not the order of UTF-16', () => {
    const bytes = canonicalContext({ '\u{1F600}': '', '\uFF5E': '' })
    expect(bytes.indexOf('\uFF5E')).to.be.lessThan(bytes.indexOf('\u{1F600}'))
  })

  it('takes an absent context for an empty one', () => {
    expect(canonicalContext(undefined)).to.deep.equal(canonicalContext({}))
  })

  for (const context of [{ '\ud800': 'x' }, { x: 'a\udc00' }])
    it(`refuses a lone surrogate in ${JSON.stringify(context)}`, () => {
      expect(() => canonicalContext(context))
        .to.throw(KmsError)
        .with.property('code', 'ValidationException')
    })

  it('treats names of Object.prototype as any other key', () => {
    const context = JSON.parse('{"__proto__":"x"}') as Record<string, string>
    expect(canonicalContext(context)).not.to.deep.equal(canonicalContext({}))
  })
})

function record(pairs: readonly (readonly [string, string])[]): Record<string, string> {
  return Object.fromEntries(pairs)
}

function sorted(pairs: readonly (readonly [string, string])[]): string {
  return JSON.stringify(pairs.toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
