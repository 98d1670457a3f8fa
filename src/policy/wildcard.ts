/** Whether a text matches; made once per pattern. */
export type Matcher = (text: string) => boolean

/**
 * `*` stands for any run of characters, `?` for one. No RegExp is made of what comes from outside: each
 * stretch between two stars is looked for once, from left to right (AT-J09).
 */
export function compileWildcard(pattern: string): Matcher {
  if (!/[*?]/.test(pattern)) return (text) => text === pattern
  const stretches = pattern.split(/\*+/)
  if (stretches.length === 1)
    return (text) => text.length === pattern.length && fits(text, 0, pattern)
  if (stretches.every((stretch) => stretch === '')) return () => true

  const first = stretches[0] as string
  const last = stretches.at(-1) as string
  const middle = stretches.slice(1, -1)
  const least = stretches.reduce((sum, stretch) => sum + stretch.length, 0)
  return (text) => {
    const end = text.length - last.length
    if (text.length < least || !fits(text, 0, first) || !fits(text, end, last)) return false
    let at = first.length
    for (const stretch of middle) {
      const found = find(text, stretch, at, end)
      if (found < 0) return false
      at = found + stretch.length
    }
    return true
  }
}

/** As `compileWildcard`, without regard to case. Give the matcher lower-cased text. */
export function compileIgnoringCase(pattern: string): Matcher {
  return compileWildcard(pattern.toLowerCase())
}

/** The six parts of an ARN, the last with all the colons that follow; `undefined` if there are fewer. */
export function splitArn(text: string): string[] | undefined {
  const parts = text.split(':')
  if (parts.length < 6 || parts[0] !== 'arn') return undefined
  return [...parts.slice(0, 5), parts.slice(5).join(':')]
}

/** A wildcard within each of the six parts: a star never reaches across a colon. `undefined` if it is no ARN. */
export function compileArnPattern(pattern: string): Matcher | undefined {
  const parts = splitArn(pattern)?.map(compileWildcard)
  if (parts === undefined) return undefined
  return (text) => splitArn(text)?.every((part, i) => (parts[i] as Matcher)(part)) ?? false
}

function find(text: string, stretch: string, from: number, end: number): number {
  if (!stretch.includes('?')) {
    const found = text.indexOf(stretch, from)
    return found + stretch.length <= end ? found : -1
  }
  for (let at = from; at + stretch.length <= end; at++) if (fits(text, at, stretch)) return at
  return -1
}

function fits(text: string, at: number, stretch: string): boolean {
  for (let i = 0; i < stretch.length; i++)
    if (stretch[i] !== '?' && stretch[i] !== text[at + i]) return false
  return true
}
