/** A policy document that we do not understand in full, and therefore do not take (ARCH-D13). The message says where and why. */
export class PolicyError extends Error {
  readonly code = 'MALFORMED'

  constructor(message: string) {
    super(message)
    this.name = 'PolicyError'
  }
}

/** Refuses: `where` is a path into the document, `Statement[0].Condition`. */
export function refuse(where: string, why: string): never {
  throw new PolicyError(`${where}: ${why}`)
}

/** A piece of the document for an error text: one line, quoted, short. */
export function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`
}
