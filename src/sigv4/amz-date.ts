const AMZ_DATE = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/

/** Parses `20261122T051500Z` to epoch seconds; `undefined` for any other form and for days that do not exist. */
export function parseAmzDate(text: string): number | undefined {
  const parts = AMZ_DATE.exec(text)
  if (!parts) return undefined
  const [year, month, day, hour, minute, second] = parts.slice(1).map(Number) as SixNumbers
  const seconds = Date.UTC(year, month - 1, day, hour, minute, second) / 1000
  return formatAmzDate(seconds) === text ? seconds : undefined // Date.UTC takes 31 February for 3 March
}

/** Epoch seconds in the basic form of ISO 8601 that SigV4 uses. */
export function formatAmzDate(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(/[-:]|\.\d{3}/g, '')
}

type SixNumbers = [number, number, number, number, number, number]
