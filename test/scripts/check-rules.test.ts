import { expect } from 'chai'
import { missingRules, ruleFaults, type RuleSources } from '../../scripts/check-rules.ts'

const RIGHT: RuleSources = {
  src: [{ path: 'src/a.ts', text: '// KMS-36: the blob decides\nconst a = 1 // RFC 4648 §3.5' }],
  tests: [
    { path: 'test/a.test.ts', text: "it('does it (KMS-36)', f)\nit(`and this: RFC 4648 §3.5`, f)" },
  ],
  rules: '| id | rule |\n|---|---|\n| KMS-36 | One. |\n| RFC 4648 §3.5 | Two. |',
}

describe('check-rules', () => {
  it('is content when every id stands in code, in a test and in docs/rules.md', () => {
    expect(ruleFaults(RIGHT)).to.deep.equal([])
  })

  const WRONG: [string, Partial<RuleSources>, string[]][] = [
    [
      'an id in src that no test names',
      { tests: [{ path: 't', text: "it('RFC 4648 §3.5')" }] },
      ['KMS-36 stands in src/a.ts and in no test title'],
    ],
    [
      'an id that a test names in a comment only',
      { tests: [{ path: 't', text: "// KMS-36 is nice\nit('RFC 4648 §3.5')" }] },
      ['KMS-36 stands in src/a.ts and in no test title'],
    ],
    [
      'an id without a sentence',
      { rules: '| KMS-36 | One. |\n| RFC 4648 §3.5 | |' },
      ['RFC 4648 §3.5 (src/a.ts) has no sentence in docs/rules.md'],
    ],
    [
      'a longer id, where a shorter one is explained',
      { src: [...RIGHT.src, { path: 'src/b.ts', text: '// KMS-361' }] },
      [
        'KMS-361 stands in src/b.ts and in no test title',
        'KMS-361 (src/b.ts) has no sentence in docs/rules.md',
      ],
    ],
    [
      'an explained id that nobody uses',
      { rules: `${RIGHT.rules}\n| FM-F21 | Three. |` },
      ['docs/rules.md: nobody uses FM-F21'],
    ],
    [
      'an id that is explained twice',
      { rules: `${RIGHT.rules}\n| KMS-36 | Three. |` },
      ['docs/rules.md: KMS-36 stands there 2 times'],
    ],
  ]
  for (const [what, change, faults] of WRONG) {
    it(`names ${what}`, () => expect(ruleFaults({ ...RIGHT, ...change })).to.deep.equal(faults))
  }

  it('knows every family of ids', () => {
    const ids = [
      'ARCH-D7',
      'AT-S26',
      'FM-3.1',
      'FM-F21',
      'FM-R8',
      'KMS-4',
      'RFC 8017 §9.1',
      'XKS E-11',
    ]
    const text = ids.map((id) => `it('${id}')`).join('\n')
    const sources = { src: [], tests: [{ path: 't', text }], rules: '' }
    expect([...missingRules(sources).keys()]).to.deep.equal(ids)
  })
})
