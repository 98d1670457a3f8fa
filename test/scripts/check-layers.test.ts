import { expect } from 'chai'
import { FOLDERS, type Import, importsOf, layerFaults } from '../../scripts/check-layers.ts'

function imported(from: string, specifier: string, typeOnly = false): Import {
  return { from, specifier, typeOnly }
}

describe('check-layers', () => {
  const WRONG = [
    ['a wrong arrow', imported('policy/parse.ts', '../kms/kms.ts'), 'policy/ may not import kms/'],
    ['a wrong arrow of types', imported('crypto/x.ts', '../kms/kms.ts', true), 'crypto/ may not'],
    ['a value where only types may pass', imported('audit/x.ts', '../kms/kms.ts'), 'only types'],
    [
      'a package outside its door',
      imported('kms/x.ts', 'express'),
      'only http/ may import express',
    ],
    ['a deep import of such a package', imported('kms/x.ts', 'zod/v4/core'), 'only daemon/'],
    [
      'a value where the door gives types only',
      imported('kms/x.ts', '@aws-sdk/client-kms'),
      'http/',
    ],
    ['a package without a door', imported('daemon/x.ts', 'left-pad'), 'no folder is the door'],
    ['a folder that is not in the table', imported('utils/x.ts', '../bytes/equal.ts'), 'utils/'],
  ] as const
  for (const [what, one, text] of WRONG) {
    it(`refuses ${what}`, () => {
      expect(layerFaults([one])).to.have.lengthOf(1)
      expect(layerFaults([one])[0]).to.contain(text)
    })
  }

  it('refuses a circle of files, through folders that may import each other in one direction', () => {
    const faults = layerFaults([
      imported('kms/a.ts', './b.ts'),
      imported('kms/b.ts', './operations/c.ts', true),
      imported('kms/operations/c.ts', '../a.ts'),
    ])
    expect(faults).to.deep.equal(['circle: kms/a.ts → kms/b.ts → kms/operations/c.ts → kms/a.ts'])
  })

  const RIGHT = [
    ['its own folder', imported('kms/operations/x.ts', '../key.ts')],
    ['a folder below', imported('kms/x.ts', '../policy/compiled-policy.ts')],
    ['types where only types may pass', imported('audit/x.ts', '../kms/caller.ts', true)],
    ['types of the XKS journal', imported('audit/x.ts', '../xks/xks-journal.ts', true)],
    ['a package at its door', imported('crypto/x.ts', '@peculiar/x509')],
    ['types that another door shares', imported('kms/x.ts', '@aws-sdk/client-kms', true)],
    ['Node itself', imported('bytes/x.ts', 'node:crypto')],
  ] as const
  for (const [what, one] of RIGHT) {
    it(`lets a file import ${what}`, () => expect(layerFaults([one])).to.deep.equal([]))
  }

  it('reads every form of import, and none out of a comment', () => {
    const source = [
      "import a from './a.ts'",
      "import type { B } from './b.ts'",
      "import {\n  c,\n  type C,\n} from './c.ts'",
      "export * from './d.ts'",
      "export type { E } from './e.ts'",
      "import './f.ts'",
      "const g = await import('./g.ts')",
      "// import h from './h.ts'",
      "/* import i from './i.ts' */",
    ].join('\n')
    expect(importsOf('x/x.ts', source)).to.deep.equal([
      imported('x/x.ts', './a.ts'),
      imported('x/x.ts', './b.ts', true),
      imported('x/x.ts', './c.ts'),
      imported('x/x.ts', './d.ts'),
      imported('x/x.ts', './e.ts', true),
      imported('x/x.ts', './f.ts'),
      imported('x/x.ts', './g.ts'),
    ])
  })

  it('has a table without circles', () => {
    const placed = new Set<string>()
    const below = ([, row]: [string, (typeof FOLDERS)[string]]): boolean =>
      [...row.imports, ...(row.importsTypes ?? [])].every((folder) => placed.has(folder))
    let left = Object.entries(FOLDERS)
    while (left.some(below)) {
      for (const [folder] of left.filter(below)) placed.add(folder)
      left = left.filter(([folder]) => !placed.has(folder))
    }
    expect(left.map(([folder]) => folder)).to.deep.equal([])
  })
})
