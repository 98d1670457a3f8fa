/** An error as it leaves the house. `type` and `message` are also what audit and metrics are told. */
export interface WireError {
  readonly status: number
  /** The exception's name. */
  readonly type: string
  readonly message: string
  readonly body: string
}

/** What the answers of one face have that those of another have not. */
export interface FaceDialect {
  readonly contentType: string
  /** The header that carries our request id. */
  readonly requestIdHeader: string
  /** Decides what a caller may learn of an error: of one that nobody foresaw, only the id to ask for. */
  wireError(error: unknown, requestId: string): WireError
}
