/** The object that a body is; undefined for one that is no JSON object, not UTF-8, too deep, or (unless forgiven) has a member twice. */
export function parseReferenceJson(
  body: Buffer,
  forgivesDoubles: boolean,
): Record<string, unknown> | undefined {
  const text = body.toString('utf8')
  if (!Buffer.from(text).equals(body) || text.startsWith('\ufeff') || /\[{40}/.test(text))
    return undefined
  const value = parse(text)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  if (!forgivesDoubles && countNames(text) !== countKeys(value)) return undefined
  return value as Record<string, unknown>
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Names of members as they stand in the text: strings with a colon behind them. */
function countNames(text: string): number {
  const strings = text.match(/"(?:[^"\\]|\\.)*"\s*:?/gs) ?? []
  return strings.filter((it) => it.endsWith(':')).length
}

function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const own = Array.isArray(value) ? 0 : Object.keys(value).length
  return Object.values(value).reduce((sum: number, it) => sum + countKeys(it), own)
}
