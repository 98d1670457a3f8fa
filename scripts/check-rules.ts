/**
 * Rule ids bind code, tests and docs/rules.md together: an id in src/ must stand in a string of a test (its title, or a
 * row that becomes one), and every id in use must have its sentence in docs/rules.md, which has no other.
 *   node scripts/check-rules.ts             says what is wrong, exit 1
 *   node scripts/check-rules.ts --missing   lists the ids that lack their sentence, with the places that use them
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

const RULE_ID =
  /\b(?:KMS-\d+|FM-(?:[A-Z]\d+|\d+(?:\.\d+)*)|AT-[A-Z]\d+|ARCH-D\d+|XKS [A-Z]-\d+|RFC \d+ §\d+(?:\.\d+)*)\b/g

export interface Source {
  readonly path: string
  readonly text: string
}
export interface RuleSources {
  readonly src: readonly Source[]
  readonly tests: readonly Source[]
  /** Text of docs/rules.md. */
  readonly rules: string
}

/** What is wrong, one sentence each; nothing when code, tests and docs/rules.md agree. */
export function ruleFaults({ src, tests, rules }: RuleSources): string[] {
  const inSrc = idsWithPlaces(src, (text) => text)
  const inTests = idsWithPlaces(tests, stringsOf)
  const explained = explainedIds(rules)
  const faults: string[] = []
  for (const [id, places] of inSrc) {
    if (!inTests.has(id)) faults.push(`${id} stands in ${places.join(', ')} and in no test title`)
  }
  for (const [id, places] of new Map([...inTests, ...inSrc])) {
    if (!explained.has(id)) faults.push(`${id} (${places[0]}) has no sentence in docs/rules.md`)
  }
  for (const [id, count] of explained) {
    if (!inSrc.has(id) && !inTests.has(id)) faults.push(`docs/rules.md: nobody uses ${id}`)
    if (count > 1) faults.push(`docs/rules.md: ${id} stands there ${count} times`)
  }
  return faults
}

/** The ids that lack their sentence, and where each is used. */
export function missingRules({ src, tests, rules }: RuleSources): Map<string, string[]> {
  const explained = explainedIds(rules)
  const used = idsWithPlaces(tests, stringsOf)
  for (const [id, places] of idsWithPlaces(src, (text) => text)) {
    used.set(id, [...places, ...(used.get(id) ?? [])])
  }
  const missing = [...used].filter(([id]) => !explained.has(id))
  return new Map(missing.toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

function idsWithPlaces(
  sources: readonly Source[],
  read: (text: string) => string,
): Map<string, string[]> {
  const places = new Map<string, string[]>()
  for (const { path, text } of sources) {
    for (const id of new Set(read(text).match(RULE_ID))) {
      places.set(id, [...(places.get(id) ?? []), path])
    }
  }
  return places
}

/** What stands between quotes, line by line, comments left out. */
function stringsOf(text: string): string {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(?:^|\s)\/\/.*$/gm, '')
  return (code.match(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g) ?? []).join('\n')
}

/** The ids of the table rows `| id | sentence |`, and how often each stands there. */
function explainedIds(rules: string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const [, id] of rules.matchAll(/^\| `?([^|`]+?)`? +\| \S.*\|$/gm)) {
    if (id !== undefined && id.match(RULE_ID)?.[0] === id) counts.set(id, (counts.get(id) ?? 0) + 1)
  }
  return counts
}

function readSources(root: string, folder: string): Source[] {
  const base = join(root, folder)
  return readdirSync(base, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .toSorted()
    .map((path) => join(base, path))
    .map((path) => ({ path: relative(root, path), text: readFileSync(path, 'utf8') }))
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..')
  const sources: RuleSources = {
    src: readSources(root, 'src'),
    // The tests of this script plant ids that nobody else has.
    tests: readSources(root, 'test').filter(({ path }) => !path.startsWith('test/scripts/')),
    rules: readFileSync(join(root, 'docs', 'rules.md'), 'utf8'),
  }
  if (process.argv.includes('--missing')) {
    for (const [id, places] of missingRules(sources)) console.log(`${id}\t${places.join(' ')}`)
  } else {
    const faults = ruleFaults(sources)
    for (const fault of faults) console.error(fault)
    process.exitCode = faults.length > 0 ? 1 : 0
  }
}
