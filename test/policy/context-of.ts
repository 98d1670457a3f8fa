/** The context of a question from facts, under lower-cased names; two names that differ by case become two values. */
export function contextOf(
  facts: Iterable<readonly [name: string, value: string | readonly string[]]>,
): ReadonlyMap<string, readonly string[]> {
  const context = new Map<string, readonly string[]>()
  for (const [name, value] of facts) {
    const key = name.toLowerCase()
    context.set(key, [
      ...(context.get(key) ?? []),
      ...(typeof value === 'string' ? [value] : value),
    ])
  }
  return context
}
