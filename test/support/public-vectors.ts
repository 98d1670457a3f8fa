import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const PUBLIC = join(import.meta.dirname, '..', 'vectors', 'public')

/** One public test vector with the group it stands in, as its file spells them. */
export interface PublicVector<Group, Test> {
  readonly title: string
  readonly group: Group
  readonly test: Test
}

interface VectorFile<Group, Test> {
  readonly testGroups: readonly (Group & { readonly tests: readonly (Test & Numbered)[] })[]
}
interface Numbered {
  readonly tcId: number
  readonly comment: string
}

/**
 * The vectors of a public file, `wycheproof/aes_gcm` for test/vectors/public/wycheproof/aes_gcm_test.json. Call it inside
 * `describe`. It registers a test that fails unless there are exactly `count` vectors; where the file is absent, that test
 * fails if CI=true and is a named skip elsewhere, and the answer is empty.
 */
export function publicVectors<Group, Test>(
  name: string,
  { count }: { readonly count: number },
): PublicVector<Group, Test>[] {
  const path = join(PUBLIC, `${name}_test.json`)
  if (!existsSync(path)) {
    registerAbsence(`${name} is not here: scripts/fetch-vectors brings it`)
    return []
  }
  const file = JSON.parse(readFileSync(path, 'utf8')) as VectorFile<Group, Test>
  const vectors = file.testGroups.flatMap((group) =>
    group.tests.map((test) => ({ title: titleOf(test), group, test })),
  )
  it(`${name} has ${count} vectors`, () => {
    if (vectors.length !== count) throw new Error(`${vectors.length} vectors are there`)
  })
  return vectors
}

function registerAbsence(text: string): void {
  if (process.env['CI'] !== 'true') it.skip(text)
  else {
    it(text, () => {
      throw new Error(text)
    })
  }
}

function titleOf({ tcId, comment }: Numbered): string {
  return comment === '' ? `no. ${tcId}` : `no. ${tcId}: ${comment}`
}
