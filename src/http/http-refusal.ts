/** What a face refuses before anything behind it is reached, and with which status. */
const STATUSES = {
  NO_SUCH_PATH: 404,
  NOT_POST: 405,
  BODY_TOO_LARGE: 413,
  HEADERS_TOO_LARGE: 431,
  TOO_SLOW: 408,
  EXPECTATION: 417,
  NOT_HTTP: 400,
} as const satisfies Record<string, number>

export type HttpRefusalCode = keyof typeof STATUSES

/** A request that HTTP alone is enough to refuse. */
export class HttpRefusal extends Error {
  readonly code: HttpRefusalCode

  constructor(code: HttpRefusalCode) {
    super(code)
    this.name = 'HttpRefusal'
    this.code = code
  }

  get status(): number {
    return STATUSES[this.code]
  }
}
