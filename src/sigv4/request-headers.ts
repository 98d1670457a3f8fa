/** The headers of a request by lower-cased name, with the names that occurred more than once. */
export interface RequestHeaders {
  readonly values: ReadonlyMap<string, string>
  readonly repeated: ReadonlySet<string>
}

/** Reads node's flat `rawHeaders`: `req.headers` drops or joins duplicates before anybody can refuse them. */
export function readHeaders(rawHeaders: readonly string[]): RequestHeaders {
  const values = new Map<string, string>()
  const repeated = new Set<string>()
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase()
    if (values.has(name)) repeated.add(name)
    else values.set(name, rawHeaders[i + 1] as string)
  }
  return { values, repeated }
}
