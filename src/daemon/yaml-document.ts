import { isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import type { Document, Node } from 'yaml'
import type * as z from 'zod'
import { ConfigError } from './config-error.ts'

/**
 * Reads YAML text into what the schema describes. Throws ConfigError with one line
 * `file:line:column option: message` for each mistake.
 */
export function parseYamlDocument<T>(text: string, file: string, schema: z.ZodType<T>): T {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: false })
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${line}:${col}`
  }
  const broken = document.errors[0]
  if (broken) throw new ConfigError('', `${at(broken.pos[0])} ${broken.message}`)

  const parsed = schema.safeParse(document.toJS({ maxAliasCount: 20 }) ?? {})
  if (parsed.success) return parsed.data
  const mistakes = parsed.error.issues
    .flatMap((issue) => mistakesOf(issue, document))
    .toSorted((a, b) => a.offset - b.offset)
    .map(({ offset, text: mistake }) => `${at(offset)} ${mistake}`)
  throw new ConfigError('', [...new Set(mistakes)].join('\n'))
}

interface Mistake {
  readonly offset: number
  readonly text: string
}

function mistakesOf(issue: z.core.$ZodIssue, document: Document): Mistake[] {
  const mistake = (path: readonly PropertyKey[], message: string): Mistake => ({
    offset: offsetOf(document, path),
    text: `${optionName(path)}: ${message}`,
  })
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => mistake([...issue.path, key], 'there is no such option'))
  }
  const missing = issue.code === 'invalid_type' && issue.message.endsWith('received undefined')
  return [mistake(issue.path, missing ? 'is required' : issue.message)]
}

function optionName(path: readonly PropertyKey[]): string {
  return path.length === 0 ? 'document' : path.map(String).join('.')
}

/** Where the option stands in the text; for a missing one, its nearest parent. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  let node: unknown = document.contents
  let offset = document.contents?.range?.[0] ?? 0
  for (const segment of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && item.key.value === segment)
      if (!pair) break
      offset = (pair.key as Node).range?.[0] ?? offset
      node = pair.value
    } else if (isSeq(node) && typeof segment === 'number') {
      node = node.items[segment]
      offset = (node as Node | undefined)?.range?.[0] ?? offset
    } else break
  }
  return offset
}
