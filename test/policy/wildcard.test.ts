import { expect } from 'chai'
import fc from 'fast-check'
import {
  compileArnPattern,
  compileIgnoringCase,
  compileWildcard,
} from '../../src/policy/wildcard.ts'

const asRegExp = (pattern: string) =>
  new RegExp(
    `^${pattern
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replace(/\*+/g, '[^]*')
      .replaceAll('?', '[^]')}$`,
  )

const letters = (alphabet: string, maxLength: number) =>
  fc.array(fc.constantFrom(...alphabet.split('')), { maxLength }).map((parts) => parts.join(''))

describe('compileWildcard', () => {
  const cases: [pattern: string, text: string, matches: boolean][] = [
    ['', '', true],
    ['', 'a', false],
    ['*', '', true],
    ['**', 'abc', true],
    ['?', '', false],
    ['?', 'a', true],
    ['??', 'a', false],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['a*b*a', 'aba', true],
    ['*ab*ab', 'ab', false],
    ['*a?c*', 'xxabcxx', true],
    ['a.c', 'abc', false],
    ['*\n*', 'a\nb', true],
  ]
  for (const [pattern, text, matches] of cases)
    it(`'${pattern}' ${matches ? 'matches' : 'does not match'} ${JSON.stringify(text)}`, () =>
      expect(compileWildcard(pattern)(text)).to.equal(matches))

  it('agrees with a regular expression', () =>
    fc.assert(
      fc.property(
        letters('ab.*?', 12),
        letters('ab.', 16),
        (pattern, text) => compileWildcard(pattern)(text) === asRegExp(pattern).test(text),
      ),
      { numRuns: 20_000 },
    ))
})

describe('compileIgnoringCase', () => {
  it('takes lower-cased text for any pattern', () =>
    expect(compileIgnoringCase('KMS:Gen*')('kms:generatedatakey')).to.equal(true))
})

describe('compileArnPattern', () => {
  it('is none for what is no ARN', () => {
    for (const text of ['', '*', 'arn:a:b:c:d', 'urn:a:b:c:d:e', '*:a:b:c:d:e'])
      expect(compileArnPattern(text)).to.equal(undefined)
  })

  it('agrees with a regular expression in each part', () =>
    fc.assert(
      fc.property(
        fc.array(letters('ab*?', 4), { minLength: 5, maxLength: 5 }),
        fc.array(letters('ab', 4), { minLength: 5, maxLength: 5 }),
        (pattern, text) =>
          compileArnPattern(`arn:${pattern.join(':')}`)?.(`arn:${text.join(':')}`) ===
          pattern.every((part, i) => asRegExp(part).test(text[i] as string)),
      ),
    ))
})
