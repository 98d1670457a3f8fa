/** The item at an index, counted from the end if negative. Throws RangeError where there is none: a test that must fail. */
export function itemAt<T>(items: readonly T[], index: number): T {
  const item = items.at(index)
  if (item === undefined) throw new RangeError(`no item ${index} among ${items.length}`)
  return item
}
