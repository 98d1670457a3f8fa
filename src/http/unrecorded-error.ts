/** A request failed, and then the record of its failure could not be written: nobody may hear of the former (ARCH-D14). */
export class UnrecordedError extends Error {
  /** Why there is no record. `cause` is why the request failed. */
  readonly recordError: unknown

  constructor(cause: unknown, recordError: unknown) {
    super('the record of a failed request could not be written', { cause })
    this.name = 'UnrecordedError'
    this.recordError = recordError
  }
}

/** Writes the record of a request that failed with `cause`. Rejects with UnrecordedError when that fails too. */
export async function recordFailure(cause: unknown, record: () => Promise<void>): Promise<void> {
  try {
    await record()
  } catch (recordError) {
    throw new UnrecordedError(cause, recordError)
  }
}
