import type { Constraint } from './constraints.ts'

export const NOT_NULL = 'Member must not be null'

/** One thing that a value must satisfy, and how AWS says it. */
export interface Rule {
  fails(value: unknown): boolean
  readonly sentence: string
}

/** What `min` and `max` bound. */
export interface Measure {
  readonly word: 'length' | 'value'
  of(value: unknown): number
}

export const measureLength: Measure = {
  word: 'length',
  of: (value) => (value as { length: number }).length,
}
export const measureNumber: Measure = { word: 'value', of: (value) => value as number }

/** The rules of a constraint, in the order in which AWS complains. */
export function rulesOf({ min, max, pattern, values }: Constraint, measure: Measure): Rule[] {
  const rules: Rule[] = []
  if (values !== undefined) rules.push(enumRule(values))
  if (pattern !== undefined) rules.push(patternRule(pattern, max))
  if (min !== undefined && (min > 0 || measure === measureNumber)) {
    const sentence = `Member must have ${measure.word} greater than or equal to ${min}`
    rules.push({ fails: (value) => measure.of(value) < min, sentence })
  }
  if (max !== undefined) {
    const sentence = `Member must have ${measure.word} less than or equal to ${max}`
    rules.push({ fails: (value) => measure.of(value) > max, sentence })
  }
  return rules
}

function enumRule(values: readonly string[]): Rule {
  const set = new Set<unknown>(values)
  const sentence = `Member must satisfy enum value set: [${values.join(', ')}]`
  return { fails: (value) => !set.has(value), sentence }
}

/** A text that is too long is refused for that and not searched as well. */
function patternRule(pattern: string, max = Number.POSITIVE_INFINITY): Rule {
  const expression = new RegExp(`^(?:${pattern})$`)
  const sentence = `Member must satisfy regular expression pattern: ${pattern}`
  return {
    fails: (value) => (value as string).length <= max && !expression.test(value as string),
    sentence,
  }
}

/** One failure as AWS words it; a value that must not be repeated is left out. */
export function failure(quoted: string | undefined, path: string, sentence: string): string {
  const value = quoted === undefined ? 'Value' : `Value ${quoted}`
  return `${value} at '${path}' failed to satisfy constraint: ${sentence}`
}

/** As Java prints it, which is what AWS sends: `'[a, b]'`, `'{k=v}'`. */
export function quote(value: unknown): string {
  if (Array.isArray(value)) return `'[${value.map(printMember).join(', ')}]'`
  if (typeof value !== 'object' || value === null) return `'${String(value)}'`
  const entries = Object.entries(value).map(([key, entry]) => `${key}=${entry}`)
  return `'{${entries.join(', ')}}'`
}

function printMember(member: unknown): string {
  if (typeof member !== 'object' || member === null) return String(member)
  const entries = Object.entries(member).map(([name, value]) => `${name}=${value}`)
  return `{${entries.join(', ')}}`
}
