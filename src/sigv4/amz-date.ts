const AMZ_DATE = /^\d{8}T\d{6}Z$/

/** Parses `20261122T051500Z` to epoch seconds; `undefined` for any other form and for days that do not exist. */
export function parseAmzDate(text: string): number | undefined {
  if (!AMZ_DATE.test(text)) return undefined
  const [year, month, day] = [number(text, 0, 4), number(text, 4, 6), number(text, 6, 8)]
  const [hour, minute, second] = [number(text, 9, 11), number(text, 11, 13), number(text, 13, 15)]
  if (hour > 23 || minute > 59 || second > 59) return undefined
  const at = new Date(Date.UTC(year, month - 1, day, hour, minute, second))
  // 31 February would be 3 March, and Date.UTC takes the year 99 for 1999.
  const exists = at.getUTCDate() === day && at.getUTCMonth() === month - 1
  return exists && at.getUTCFullYear() === year ? at.getTime() / 1000 : undefined
}

function number(text: string, start: number, end: number): number {
  return Number(text.slice(start, end))
}

/** Epoch seconds in the basic form of ISO 8601 that SigV4 uses. */
export function formatAmzDate(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(/[-:]|\.\d{3}/g, '')
}
