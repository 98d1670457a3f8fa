/** What went wrong in a custody, in our words. Callers decide on the code, never on the text. */
export type CustodyErrorCode =
  | 'CIPHERTEXT_REJECTED' // the token refused it, and the canary and the key's own proof work right after (ARCH-D10)
  | 'KEY_UNAVAILABLE' // storage knows the key, the token does not show it, or shows another
  | 'KEY_AMBIGUOUS' // two token objects carry the name of one key
  | 'KEY_USAGE' // the token object does not permit the operation
  | 'UNSUPPORTED' // this token cannot do it (profile), and we never do it in software
  | 'INPUT' // a length or value the token refuses by its nature
  | 'DEVICE_GONE' // the token or its module does not work
  | 'LOGIN_REFUSED' // wrong or locked PIN; latched (ARCH-D4)
  | 'CAPACITY' // sessions, memory or the device's own throttling
  | 'DEADLINE' // no answer in time
  | 'TOKEN_LIED' // attributes or bytes came back other than asked (ARCH-D6)
  | 'INTERNAL' // our own mistake, or a code nobody foresaw

/** The one error class of everything that holds keys. `ckr` and `call` are for the log only. */
export class CustodyError extends Error {
  readonly code: CustodyErrorCode
  readonly ckr: number | undefined
  readonly call: string | undefined

  constructor(
    code: CustodyErrorCode,
    message: string,
    detail: { ckr?: number; call?: string; cause?: unknown } = {},
  ) {
    super(message, { cause: detail.cause })
    this.name = 'CustodyError'
    this.code = code
    this.ckr = detail.ckr
    this.call = detail.call
  }
}
