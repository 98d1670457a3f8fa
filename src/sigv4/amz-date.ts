const AMZ_DATE = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/

/** Parses `20261122T051500Z` to epoch seconds; `undefined` for any other form and for days that do not exist. */
export function parseAmzDate(text: string): number | undefined {
  const parts = AMZ_DATE.exec(text)
  if (!parts) return undefined
  const [, year, month, day, hour, minute, second] = parts as unknown as SevenTexts
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined
  const at = new Date(0)
  // Not Date.UTC, which takes the year 99 for 1999.
  at.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  // 31 February would be 3 March.
  if (at.getUTCMonth() !== Number(month) - 1 || at.getUTCDate() !== Number(day)) return undefined
  return at.setUTCHours(Number(hour), Number(minute), Number(second)) / 1000
}

/** Epoch seconds in the basic form of ISO 8601 that SigV4 uses. */
export function formatAmzDate(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(/[-:]|\.\d{3}/g, '')
}

type SevenTexts = [string, string, string, string, string, string, string]
