/**
 * Builds `PolicyQuestion.context`: names lower-cased, keys without a value left out. Two names that differ
 * only by case become one key with two values, which no condition on a single value believes (AT-Z10).
 */
export function conditionContext(
  facts: Iterable<readonly [name: string, value: string | readonly string[] | undefined]>,
): ReadonlyMap<string, readonly string[]> {
  const context = new Map<string, readonly string[]>()
  for (const [name, value] of facts) {
    const values = typeof value === 'string' ? [value] : (value ?? [])
    if (values.length === 0) continue
    const key = name.toLowerCase()
    context.set(key, [...(context.get(key) ?? []), ...values])
  }
  return context
}
