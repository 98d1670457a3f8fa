/** The database cannot be opened or copied, for a reason that the operator can read and act on. */
export class StorageError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'StorageError'
  }
}
