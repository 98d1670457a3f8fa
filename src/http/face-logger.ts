/** Told of what an operator should see. Nothing of a body or a signature is ever in it. */
export interface FaceLogger {
  error(message: string, facts: Readonly<Record<string, unknown>>): void
}
