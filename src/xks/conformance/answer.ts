/** What came back for one request, as it stood on the wire. */
export interface Answer {
  readonly status: number
  /** Values by lower-case name, in their order. */
  readonly headers: ReadonlyMap<string, readonly string[]>
  readonly body: Buffer
  /** From the first byte sent to the last byte received. */
  readonly milliseconds: number
}

/** The members of a JSON object; undefined where the body is anything else. */
export function membersOf({ body }: Answer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

/** As a report shows it: status, error name, and the beginning of the message. */
export function describeAnswer(answer: Answer): string {
  const members = membersOf(answer)
  if (members === undefined) return `${answer.status} with ${describeBody(answer.body)}`
  const { errorName, errorMessage } = members
  if (typeof errorName !== 'string') return `${answer.status} without an errorName`
  const told = typeof errorMessage === 'string' ? ` (${printable(errorMessage).slice(0, 80)})` : ''
  return `${answer.status} ${printable(errorName)}${told}`
}

/** Text of a stranger, fit for a terminal. */
export function printable(text: string): string {
  return text.replace(/[^ -~]/g, '?')
}

function describeBody(body: Buffer): string {
  return body.length === 0 ? 'an empty body' : 'a body that is no JSON object'
}
