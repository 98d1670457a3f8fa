/** What a flag with commas names: no member for an absent or empty one. */
export function splitList(given: string | boolean | undefined): string[] {
  return typeof given === 'string' && given !== '' ? given.split(',').map((it) => it.trim()) : []
}
